"""What a bisection found. `findings` says it in sentences, which the formats share; each format has `render`."""

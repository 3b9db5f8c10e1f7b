"""What the stages `fit` and `joint` do, encoder by encoder."""

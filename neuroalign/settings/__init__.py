"""What a config may say: every section a model that refuses unknown keys; `config.Study` is the whole."""

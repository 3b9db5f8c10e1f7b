"""One layer in one outer fold, fitted and predicted: by ridge regression of every kind."""

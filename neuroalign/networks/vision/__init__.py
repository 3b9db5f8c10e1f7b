"""Networks of images and of film."""

"""Maps: which there are, and how they are put onto surfaces, volumes, parcels and sensors."""

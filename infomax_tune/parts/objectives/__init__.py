"""What training minimizes: terms with weights, one file each, and the objectives that are made of them."""

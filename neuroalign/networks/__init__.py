"""Networks: what each family of them sees for an item, and what its layers answer."""

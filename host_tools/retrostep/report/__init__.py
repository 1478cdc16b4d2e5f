"""What the database tells a walker and a therapist: numbers (summary.py) as a page, pictures or terminal text."""

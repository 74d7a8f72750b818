"""What a report shows, and its forms: text, page, JSON, CSV and Parquet."""

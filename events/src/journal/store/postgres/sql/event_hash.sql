SELECT leaf_hash FROM event WHERE position = $1

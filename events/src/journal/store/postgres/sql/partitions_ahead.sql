SELECT event_partitions_ahead($1, $2)

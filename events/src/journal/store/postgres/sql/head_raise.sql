UPDATE head SET generation = generation + 1 WHERE one = 1

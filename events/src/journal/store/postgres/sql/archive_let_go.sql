SELECT archive_let_go($1, $2)::text

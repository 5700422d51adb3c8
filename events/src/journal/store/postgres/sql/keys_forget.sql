SELECT append_keys_forget($1, $2)

"""What is seen: pictures and tables read from the running servers. Starts nothing."""

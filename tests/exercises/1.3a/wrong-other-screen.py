# says: screen-1 reported no error
slow_screen = "screen-1"

# says: screen-1 got every price, and reported no error
slow_screen = "screen-1"

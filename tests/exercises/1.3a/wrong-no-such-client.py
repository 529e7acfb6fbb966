# says: there is no client named 'sleepy'
slow_screen = "sleepy"

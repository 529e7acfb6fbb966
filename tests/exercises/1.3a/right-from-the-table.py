slow_screen = connections.loc[["screen-2"]].index[0]

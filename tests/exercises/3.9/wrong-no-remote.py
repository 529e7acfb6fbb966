# says: the hub has no leaf node
private = alone

# says: is there an UNSUB after your SUB
by_hand = socket.create_connection((host, port), timeout=5)
by_hand.sendall(b'CONNECT {"verbose": false, "name": "by-hand"}\r\nUNSUB 1 3\r\nSUB ticks.* 1\r\n')

# says: and does its line end with \r\n
by_hand = socket.create_connection((host, port), timeout=5)
by_hand.sendall(b'CONNECT {"verbose": false, "name": "by-hand"}\r\nSUB ticks.* 1\r\nUNSUB 1 3')

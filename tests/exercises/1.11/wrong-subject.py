# says: it listens on ticks, not on ticks.*
by_hand = socket.create_connection((host, port), timeout=5)
by_hand.sendall(b'CONNECT {"name": "by-hand"}\r\nSUB ticks 1\r\nUNSUB 1 3\r\n')

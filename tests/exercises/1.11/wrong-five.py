# says: the server will end it after 5 messages, not 3
by_hand = socket.create_connection((host, port), timeout=5)
by_hand.sendall(b'CONNECT {"name": "by-hand"}\r\nSUB ticks.* 1\r\nUNSUB 1 5\r\n')

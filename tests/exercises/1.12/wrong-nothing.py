# says: Are they sent, and on the subject that your function is given?
def publish_many(subject, payload, count):
    pass

"""What is learned: the notebooks, the learner's copies of them, exercises and progress."""

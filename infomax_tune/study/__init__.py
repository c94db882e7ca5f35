"""What is asked: configs, search spaces, names of columns, facts about datasets. No torch, no Ray, writes nothing."""

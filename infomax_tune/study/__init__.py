"""What a study asks: configs, search spaces, column names, facts about datasets. No torch, no Ray, writes nothing."""

"""A believable sales team, made of seeded chance: its people, their days and the stories that they live through."""

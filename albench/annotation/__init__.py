"""Labels from people: a project asks for slices of volumes without masks, round by round, as a run asks its oracle."""

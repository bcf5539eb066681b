"""From scores and profiles to answers: belonging, attribution, origin, foreign regions."""

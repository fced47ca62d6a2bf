"""WaveGAN: learns the sound of a proxy corpus and makes synthetic clips to query with."""

"""Evidence, without true labels, on whether a teacher reads the images or guesses.

In: images, what several teachers make of them and of the captions. Out: signals, an estimate of
the labels' accuracy, and a verdict in words. No true label reaches this package: its calibration
(`situations.csv`) comes from labelling tasks of `benchmarks/guessing`, none of a user's.
"""

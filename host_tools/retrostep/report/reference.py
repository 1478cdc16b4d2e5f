"""Published values of the 3-metre backward walk test, for comparison; none of them is a diagnosis."""

# Polo-Ferrero et al. 2025, 483 people: mean and standard deviation in seconds, best cut-off, and a time under which
# 2 % of those who had fallen were.
FALLERS_S = (6.8, 3.4)
OTHERS_S = (5.1, 1.3)
CUT_OFF_S = 5.5
RULED_OUT_S = 3.5
# Kapan et al. 2025, nursing homes: the range of cut-offs.
FRAIL_S = (8.15, 9.31)

# Measured by tests/test_walktest.py and on real recordings (docs/walk-test.md).
OWN_ERROR = (
    "Its own error: on simulated walks within 0.1 s at the waist; how soft a person's first and last steps are "
    "adds to that. On real walks forward the first contact was found within 0.3 s in 81 % of 74, the last one, feet "
    "together, in 60 % of 57; where it was missed, mostly by one step."
)

TEXT = (
    "The 3-metre test is one of several that a trained person uses together. Published with a stop watch: among 483 "
    f"people, those who had fallen needed {FALLERS_S[0]} ± {FALLERS_S[1]} s and the others {OTHERS_S[0]} ± "
    f"{OTHERS_S[1]} s, which overlap widely; the best line between them, {CUT_OFF_S} s, is wrong for about one in "
    f"three, and 98 % of those who had fallen needed more than {RULED_OUT_S} s (Polo-Ferrero 2025). In nursing homes "
    f"the lines drawn lie between {FRAIL_S[0]} and {FRAIL_S[1]} s (Kapan 2025). These are values of groups. They say "
    "nothing certain about one person and are no diagnosis."
)

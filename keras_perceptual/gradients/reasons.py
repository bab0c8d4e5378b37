"""Why a gradient counts as missing, in the words of the report."""

# The gradient itself is missing: nothing connects the variable to the loss.
NONE = "no path from the loss"
# An operation between the variable and the loss has no gradient.
CUT = "cut off from the loss"
# The variable is not used.
UNUSED = "never used in the training step"
# What is computed from the variable does not enter the loss.
NO_LOSS = "nothing computed from it enters the loss"
# No variable of the model has to do with the loss.
IGNORES_MODEL = "the loss does not depend on the model"
# A tensor became a number of Python or an array of NumPy.
LEFT = "the computation leaves the backend"
# The step fails where Python is to compute the gradient of its own code.
FAILS = "the gradient of Python code fails"
# What gradient there is comes from a penalty on the weights alone.
PENALTY = "only the penalty on the weights reaches it"
# The step asks for no gradient of the variable.
NOT_ASKED = "the training step asks for no gradient of it"
# No optimizer was ever given a gradient for the variable.
NOT_HANDED = "never given to an optimizer"
# The gradient is computed, but no optimizer is given it.
NOT_APPLIED = "its gradient is computed but never applied"
# The step can give it to an optimizer, but did not in the checked batches.
NOT_RUN = "its optimizer did not run"
# The optimizer was built for the variables of another model.
STRANGER = "unknown to the optimizer"
# The backend would not start to compute gradients at all.
CUT_LOSS = "the loss has no gradient"
# The step computes with it, but the model does not know of it.
UNTRACKED = "not among the variables of the model"

# The same, where it may be meant so: a number that somebody else changes, or a
# network that a loss compares with.
UNTRAINED = "used by the training step, trained by nobody"

# What comes out is the same whatever goes in, as far as the batches go.
SATURATED = "it ends where an operation is level"
# Both factors of a product are zero and depend on weights that get no gradient.
STUCK = "it ends at a product whose other factor is zero and stays so"
# A loop whose result does not depend on what goes in.
NO_STEP = "it ends at a loop that no step of counts"
# What comes out is the same whatever goes in, up to rounding.
CANCELS = "it cancels out at an operation"
# Zeros that no batch can change.
PERMANENT = (SATURATED, STUCK, NO_STEP, CANCELS)

# Those that are only warned about.
DOUBTFUL = (NOT_RUN, UNTRAINED)
# Those that later batches may still prove wrong: a step can train its parts
# in turn.
UNCERTAIN = (NOT_ASKED, NOT_HANDED, NOT_APPLIED, NOT_RUN)
# Those that say no more than that there is no gradient.
UNEXPLAINED = (NONE, CUT_LOSS, NOT_HANDED)

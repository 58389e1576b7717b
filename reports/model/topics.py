"""The topics that a report can be about: one family of methods, or all of them; and what is said of each in our
own words, with its sources. Which results a topic looks at is decided here as well."""

from __future__ import annotations

from dataclasses import dataclass

from reports.model.document import Cite, Math, Text


@dataclass(frozen=True)
class Topic:
    """`family` is None for all of them. `what`, `why` and `how` introduce the family, `doubts` are questions that a
    critical reader asks of its papers."""

    key: str
    title: str
    family: str | None
    question: Text
    what: Text = ()
    why: Text = ()
    how: Text = ()
    doubts: tuple[Text, ...] = ()


ALL = Topic(
    key="all",
    title="Five Ways to Adapt a Language Model",
    family=None,
    question=("what do the methods of five families score and cost here, and which statements of their papers can be"
              " seen at this scale?",),
    doubts=(
        ("Few papers compare the families under one budget; where the number of trained parameters is held equal,"
         " memory and time are not, and the other way round.",),
        ("Full fine-tuning, the usual yardstick, is itself unstable from seed to seed ",
         Cite(("mosbach2021stability",)), " and depends on how much it was tuned ", Cite(("dodge2019work",)),
         ": a method that matches it may match a weak baseline.",),
        ("“Parameter-efficient” names one cost of several. It does not follow that training is faster, or that its"
         " memory is in proportion to what is trained.",),
    ),
)  # fmt: skip

_SPARSE = Topic(
    key="sparse",
    title="Sparse Fine-Tuning",
    family="sparse",
    question=("does it matter which parameters are trained, and what does finding them cost?",),
    what=("A sparse method trains a small part of the backbone's own parameters and leaves the others at their"
          " pretrained values: ", Math(r"\theta' = \theta + \mu \odot \phi", "θ′ = θ + μ ⊙ φ"), " with a binary mask ",
          Math(r"\mu", "μ"), " of ", Math("k", "k"), " ones. Stored per task are the positions and the values of ",
          Math("k", "k"), " numbers.",),
    why=("Nothing is added to the architecture, so that inference costs what it cost before. Differences of several"
         " tasks or languages live in one space and can be added up ", Cite(("ansell2022ltsft",)),
         ", and two masks that hardly overlap should hardly disturb each other.",),
    how=("Everything lies in the mask. It can be fixed by kind of parameter, as by training biases alone ",
         Cite(("benzaken2022bitfit",)), "; chosen before training by an estimate of Fisher information ",
         Cite(("sung2021fish",)), "; or found by training everything, keeping the entries that moved furthest and"
         " rewinding ", Cite(("ansell2022ltsft",)), ". Learnt gates and indices that grow and drop during training"
         " are further answers.",),
    doubts=(
        ("A mask that was searched for has to beat a random one of the same size. Where a paper does not show that"
         " comparison, the mask may owe its success to the number of entries alone.",),
        ("The search for a mask can need gradients, and optimiser state, for every parameter. Peak memory is then that"
         " of full fine-tuning, however few parameters are stored; a saving shows only if phases are counted"
         " apart.",),
        ("Unstructured sparsity saves no arithmetic on usual hardware: gradients are computed for whole matrices and"
         " masked afterwards.",),
    ),
)  # fmt: skip

_LOW_RANK = Topic(
    key="lowrank",
    title="Low-Rank Adaptation",
    family="low-rank",
    question=("does a change of low rank suffice, and do the refinements of LoRA show under one budget?",),
    what=("A low-rank method writes the change of a weight matrix as a product of two thin ones, ",
          Math(r"W' = W_0 + \tfrac{\alpha}{r} B A", "W′ = W₀ + (α/r) BA"), " with ",
          Math(r"B \in \mathbb{R}^{d \times r}", "B of size d × r"), " and ",
          Math(r"A \in \mathbb{R}^{r \times k}", "A of size r × k"),
          " and a small rank ", Math("r", "r"), ". Trained are ", Math("A", "A"), " and ", Math("B", "B"), ": ",
          Math("r(d + k)", "r(d + k)"), " numbers in place of ", Math("dk", "dk"), ".",),
    why=("The assumption is that the change which a task asks for has low rank ", Cite(("hu2022lora",)),
         ". If so, gradients and optimiser state shrink, and the product can be added to ", Math("W_0", "W₀"),
         " after training, so that nothing remains to be computed at inference.",),
    how=("One factor starts at zero, so that training starts from the backbone. Open choices are the matrices that"
         " receive an update, the rank and its scale. Refinements change the parametrisation (a direction and a"
         " magnitude apart, or frozen random factors with trained scales), where the rank is spent, the start"
         " (principal components of ", Math("W_0", "W₀"), "), or the precision in which ", Math("W_0", "W₀"),
         " is held.",),
    doubts=(
        ("Low rank is an assumption, not a finding about every task: on targets far from pretraining LoRA has been"
         " seen to learn less than full fine-tuning, and to forget less ", Cite(("biderman2024lora",)), ".",),
        ("Gains of a refinement over LoRA are often small, and LoRA is sensitive to its learning rate and scale."
         " Unless both were tuned with equal effort, the gain may be one of tuning ", Cite(("dodge2019work",)), ".",),
        ("Fewer trained parameters shrink gradients and optimiser state; the activations kept for training shrink"
         " little. Where these are most of the memory, little of the advertised saving is left.",),
    ),
)  # fmt: skip

_ADAPTERS = Topic(
    key="adapters",
    title="Adapters",
    family="adapter",
    question=("where should small networks be inserted, how large must they be, and what does inference pay?",),
    what=("An adapter is a small trained network inside the frozen backbone, usually a bottleneck with a residual"
          " connection: ", Math(r"h \leftarrow h + U\,\sigma(D h)", "h ← h + U σ(D h)"), " with ",
          Math(r"D \in \mathbb{R}^{m \times d}", "D of size m × d"), ", ",
          Math(r"U \in \mathbb{R}^{d \times m}", "U of size d × m"), " and ", Math(r"m \ll d", "m much smaller than d"),
          ". It composes with the function that the backbone computes.",),
    why=("A task gets parameters of its own while all tasks share one backbone ", Cite(("houlsby2019adapters",)),
         ". Adapters are modules in the plain sense: they can be stored, exchanged, stacked and left out.",),
    how=("Adapters differ in where they are inserted, after attention, after the feed-forward block or beside it, in"
         " sequence or in parallel ", Cite(("he2022unified",)), "; in how the matrices are parametrised, down to"
         " Kronecker products with shared factors or a mere rescaling of activations; and in the layers that have"
         " one at all ", Cite(("ruckle2021adapterdrop",)), ".",),
    doubts=(
        ("Unless it is linear, an adapter cannot be folded into the backbone. Its cost at inference is small in FLOPs"
         " but sits in series with everything else, and shows most in small batches; papers that report parameters"
         " alone do not show it.",),
        ("Comparisons of positions must hold the number of parameters equal: one adapter per layer with a wide"
         " bottleneck is not the same test as two with a narrow one.",),
        ("The original results are for one encoder, BERT, on text classification and question answering ",
         Cite(("houlsby2019adapters",)), ": that a small bottleneck suffices is a statement about those.",),
    ),
)  # fmt: skip

_PROMPTS = Topic(
    key="prompts",
    title="Soft Prompts",
    family="soft-prompt",
    question=("can a frozen model be steered through its input alone, and at what length?",),
    what=("A soft prompt is a sequence of trained vectors that joins the input of a frozen backbone, ",
          Math(r"y = f_\theta([\phi;\, x])", "y = f_θ([φ; x])"), ": at the embeddings only, or as keys and values of"
          " every layer. Unlike the words of a prompt, the vectors need not belong to any token.",),
    why=("The backbone's computation is left alone, so that one copy can serve many tasks in one batch, and very"
         " little is stored per task ", Cite(("lester2021prompt",)), ". Prefixes reach every layer and are reported"
         " to beat full fine-tuning where data are few ", Cite(("li2021prefix",)), ".",),
    how=("Open choices are the length, the layers that are reached, the start (random, from the vocabulary, from"
         " another task) and whether the vectors are trained directly or through a small network that is thrown"
         " away afterwards.",),
    doubts=(
        ("Prompt tuning is reported to lag behind on small models and to close the gap with scale ",
         Cite(("lester2021prompt",)), ". A run on a small backbone can confirm the first half only.",),
        ("Prompts converge slowly and are sensitive to learning rate and start. Under a fixed number of steps they can"
         " lose for lack of time; a learning curve that still rises is a warning.",),
        ("The vectors take up sequence length, in which the cost of attention is quadratic. The smallest number of"
         " parameters is not the smallest cost at inference.",),
        ("A classification head trained beside the prompt may do much of the work: the head alone is the baseline to"
         " beat.",),
    ),
)  # fmt: skip

_HYPERNETWORKS = Topic(
    key="hypernetworks",
    title="Hypernetworks",
    family="hypernetwork",
    question=("does generating the parameters of modules help, and does it with a single task?",),
    what=("A hypernetwork is a network whose output is the parameters of another ", Cite(("ha2017hypernetworks",)),
          ". Here it generates the modules of the other families, ",
          Math(r"\phi_{t,l} = g_\psi(z_t, z_l)", "φ_t,l = g_ψ(z_t, z_l)"), ", from embeddings of what they are for,"
          " such as a task ", Math("t", "t"), " and a layer ", Math("l", "l"), ". Trained are the generator ",
          Math(r"\psi", "ψ"), " and the embeddings.",),
    why=("What is learnt for one task or layer is shared with the others through ", Math(r"\psi", "ψ"),
         ", while each keeps modules of its own ", Cite(("mahabadi2021hyperformer",)), ". With many tasks, parameters"
         " grow by an embedding per task rather than by a module.",),
    how=("Methods differ in what is generated (adapters, prompts, low-rank updates), from what (task, layer, position,"
         " or the input itself), and in whether one generator serves all layers or each has its own.",),
    doubts=(
        ("The papers argue with many tasks at once. With one task there is nothing to share between tasks, and a"
         " hypernetwork is an expensive parametrisation of the module that it generates; only a mixture can test the"
         " claim itself.",),
        ("The generator often has more parameters than the modules that it makes. “Per task” counts divide it by the"
         " number of tasks, so that the same method looks small or large by the choice of benchmark.",),
        ("A fair control is the generated module trained directly, at the same size and with the same tuning. Where it"
         " is missing, a gain may come from the module and not from its being generated.",),
    ),
)  # fmt: skip

TOPICS = {topic.key: topic for topic in (ALL, _SPARSE, _LOW_RANK, _ADAPTERS, _PROMPTS, _HYPERNETWORKS)}

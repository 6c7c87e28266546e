"""Sentences of a report that do not depend on the answer."""

FAR_MEANING = (
    "FAR is the false accept rate: the share of comparisons of two different people that are above the threshold."
)
NO_IDENTITY = (
    "Above the threshold does not mean that the pictures show one person. Below it does not mean that they show two."
)
RATIO_MEANING = (
    "The likelihood ratio says how many times as often such a similarity was seen for two pictures of one person as for"
    " pictures of two people. It is not the probability that the pictures show one person: that also depends on who"
    " else could be on the probe, which the pictures do not tell."
)
SEARCH_MEANING = (
    "A search always has a best hit, also if the person is not in the gallery. A hit is a reason to look, and nothing"
    " more."
)
NO_EVIDENCE = (
    "The next pictures were made by a network. They show a face that fits the probe, not the face of the person: many"
    " other faces fit as well. They hold no information beyond the probe, and can show an eye color, a mark or an age"
    " that the person does not have. A hallucinated face is no evidence. Show it to no witness, and publish it nowhere"
    " as a picture of a person."
)
LIMITS = (
    "The rates are those of the people and probes on which they were measured. With other people, cameras or light"
    " they differ, and are mostly worse.",
    "Whether the rates are the same for women and men, for the old and the young, and for all skin colors is not known:"
    " the photographs of the measurement have no labels that say it.",
    "Relatives and people who look alike are more similar than strangers are on average. So are pictures that one"
    " camera took in the same light.",
    "The rates are those of a sharp gallery. Faces that are not found in a picture are in no rate, unless it says so.",
    "Somebody who was in the measurement may have been among the people whom the networks were trained on.",
)
SETTINGS = {
    "model": "model",
    "device": "computed on",
    "detector": "what found the faces",
    "far": "false accept rate of one comparison",
    "size": "side of the probe's face in pixels, as given",
    "demo": "a trial with thresholds of synthetic faces",
    "calibration": "file of the thresholds and rates",
    "aligned": "pictures taken as aligned faces",
    "face": "chosen face of the probe",
    "gallery_face": "chosen face of the gallery picture",
    "every_face": "an answer for every face of the probe",
    "index": "gallery",
    "top": "people shown for each probe",
    "fpir": "share of strangers for whom a search gives a false hit",
    "threads": "threads",
}
"""Setting of a record -> what it is."""

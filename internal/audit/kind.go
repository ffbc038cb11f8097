package audit

// Kind names what is wrong.
type Kind string

// The kinds.
const (
	AccountLimit            Kind = "account_limit"
	RecipientLimit          Kind = "recipient_limit"
	AccountLimitPossible    Kind = "account_limit_possible"
	RecipientLimitPossible  Kind = "recipient_limit_possible"
	TwoAcceptances          Kind = "two_acceptances"
	TwoMessageIDs           Kind = "two_message_ids"
	SharedMessageID         Kind = "shared_message_id"
	OverdueAttempt          Kind = "overdue_attempt"
	SentWithoutAcceptance   Kind = "sent_without_acceptance"
	AcceptedNotSent         Kind = "accepted_not_sent"
	WaitingWithOpenAttempt  Kind = "waiting_with_open_attempt"
	FinalWithOpenAttempt    Kind = "final_with_open_attempt"
	OnItsWayWithoutAttempt  Kind = "on_its_way_without_attempt"
	AttemptWithoutWorkflow  Kind = "attempt_without_workflow"
	AttemptOfAnother        Kind = "attempt_of_another"
	InboxWithoutWorkflow    Kind = "inbox_without_workflow"
	WorkflowWithoutInbox    Kind = "workflow_without_inbox"
	SumDiffers              Kind = "sum_differs"
	CampaignCountDiffers    Kind = "campaign_count_differs"
	RecipientWithoutMessage Kind = "recipient_without_message"
	TwoTexts                Kind = "two_texts"
	TextWithoutBody         Kind = "text_without_body"
	CallWithoutCost         Kind = "call_without_cost"
	CostWithoutCall         Kind = "cost_without_call"
)

// Kinds lists them all; it is also the list of the metric's labels.
var Kinds = func() []Kind {
	kinds := make([]Kind, len(kindTable))
	for i, row := range kindTable {
		kinds[i] = row.kind
	}
	return kinds
}()

const (
	stopAndLook = "switch sends_enabled off for the account, compare the calls with the platform, and see huntaze explain of the messages"
	explainIt   = "see huntaze explain of the message, and what was written by hand or restored at that time"
)

var kindTable = []struct {
	kind     Kind
	severity Severity
	meaning  string
	remedy   string
}{
	{AccountLimit, Violation, "more messages of an account in a window than its rule allows", stopAndLook + "; if the rules were others then, run it again with --account-limit"},
	{RecipientLimit, Violation, "more messages to a recipient in a window than its rule allows", stopAndLook + "; if the rules were others then, run it again with --recipient-limit"},
	{TwoAcceptances, Violation, "the gateway accepted a message twice", "the recipient has it twice: " + stopAndLook},
	{TwoMessageIDs, Violation, "the gateway gave one message two ids", "the recipient may have it twice: " + stopAndLook},
	{SharedMessageID, Inconsistent, "the gateway gave two messages the same id", "one of them may not have been sent: ask the gateway for both clientRefs"},
	{OverdueAttempt, Inconsistent, "an attempt is open beyond every deadline", "see whether a worker runs and the reconciler's log; huntaze doctor"},
	{SentWithoutAcceptance, Inconsistent, "a message is sent, and the gateway accepted no attempt", "ask the gateway for its clientRef; " + explainIt},
	{AcceptedNotSent, Inconsistent, "the gateway accepted a message that is not sent", "it must not go again: cancel its campaign or pause it; " + explainIt},
	{WaitingWithOpenAttempt, Inconsistent, "a message waits although it has an open attempt", "pause its campaign; " + explainIt},
	{FinalWithOpenAttempt, Inconsistent, "a message is over although it has an open attempt", explainIt},
	{OnItsWayWithoutAttempt, Inconsistent, "a message is on its way without the attempt that its stage says", "the reconciler parks it again after a minute; if it stays: " + explainIt},
	{AttemptWithoutWorkflow, Inconsistent, "an attempt belongs to no workflow", "ask the gateway for its clientRef; look for what deleted the workflow"},
	{AttemptOfAnother, Inconsistent, "an attempt names another account or recipient than its workflow", explainIt},
	{InboxWithoutWorkflow, Inconsistent, "a message was taken in and is nowhere", "have it sent again under another workflowId; look for what deleted the workflow"},
	{WorkflowWithoutInbox, Inconsistent, "a workflow was never taken in: its message may come twice", explainIt},
	{SumDiffers, Inconsistent, "an account received another number of messages than it has", "see the findings about inbox and workflows"},
	{CampaignCountDiffers, Inconsistent, "a campaign's count is not the number of its messages", "look for who wrote campaign_counts or changed messages with the triggers off"},
	{RecipientWithoutMessage, Inconsistent, "recipients of a campaign got no message although they had their turn", "have the campaign sent to them again; look for what deleted the messages"},
	{TwoTexts, Inconsistent, "two texts are live for the same messages", "look at both: the messages may have got either"},
	{TextWithoutBody, Inconsistent, "a text is ready and empty", "look for what changed it"},
	{CallWithoutCost, Inconsistent, "a call to a provider ended and no cost was noted", "compare with the provider's bill"},
	{CostWithoutCall, Inconsistent, "a cost belongs to no call", "compare with the provider's bill"},
	{AccountLimitPossible, Possible, "an account may have been over its limit in a window: when calls arrived is not known, or the rules were changed since", "compare with the gateway's log, or give the rules of then with --account-limit"},
	{RecipientLimitPossible, Possible, "a recipient may have been over its limit in a window: when calls arrived is not known, or the rules were changed since", "compare with the gateway's log, or give the rules of then with --recipient-limit"},
}

// Severity is how bad a finding of the kind is.
func (k Kind) Severity() Severity {
	for _, row := range kindTable {
		if row.kind == k {
			return row.severity
		}
	}
	return Inconsistent
}

// Meaning says in a person's words what is wrong.
func (k Kind) Meaning() string {
	for _, row := range kindTable {
		if row.kind == k {
			return row.meaning
		}
	}
	return string(k)
}

// Remedy says what to do.
func (k Kind) Remedy() string {
	for _, row := range kindTable {
		if row.kind == k {
			return row.remedy
		}
	}
	return ""
}

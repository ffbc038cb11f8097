#!/usr/bin/env bash
# Puts messages on the queue with the aws CLI: up to ten in a call, and again those alone that failed.
#
#   send-aws.sh ACCOUNT <messages.jsonl      (one JSON object a line)
#
# The CLI itself reads the credentials. AWS_ENDPOINT_URL_SQS is the address of a server other than AWS.
set -euo pipefail

account=${1:?the account is missing: send-aws.sh ACCOUNT <messages.jsonl}
region=${AWS_REGION:-us-east-1}
queue=${SQS_QUEUE:-huntaze-hybrid-messages-production}
tries=4

# strings makes a JSON string of each line that is not empty. A line of JSON holds no control characters but tabs.
strings() { LC_ALL=C sed -e $'s/\r$//' -e '/^[[:space:]]*$/d' -e 's/[\\"]/\\&/g' -e $'s/\t/\\\\t/g' -e 's/.*/"&"/'; }

random() { od -An -v -tx1 -N"$1" /dev/urandom | tr -d ' \n'; }

# sqs runs the CLI. Version 1 would read neither of the two variables for SQS.
sqs() { aws sqs "$@" --region "$region" ${AWS_ENDPOINT_URL_SQS:+--endpoint-url "$AWS_ENDPOINT_URL_SQS"}; }

# send makes a call with the array entries, and another for those that failed. A call that succeeds says nothing yet:
# each of its entries may have failed. When the call itself fails the CLI has repeated it already, and the script ends.
send() {
  local try batch failed id
  for ((try = 1; ; try++)); do
    batch=$(IFS=, && printf '[%s]' "${entries[*]}")
    # By standard input: the texts would be too long for an argument, and arguments are seen by others of the machine.
    failed=$(printf '%s' "$batch" |
      sqs send-message-batch --queue-url "$url" --entries file:///dev/stdin \
        --query '(Failed || `[]`)[].[Id, SenderFault, Code]' --output text)
    for id in "${!entries[@]}"; do
      case $'\n'$failed in
        *$'\n'$id$'\tTrue\t'*) refused+=("$id") ;; # the same entry would fail again
        *$'\n'$id$'\tFalse\t'*)
          [ "$try" = "$tries" ] || continue
          refused+=("$id")
          ;;
      esac
      unset "entries[$id]"
    done
    if [ -n "$failed" ]; then echo "failed in try $try (message, our fault, reason):" "$failed" >&2; fi
    if [ ${#entries[@]} -eq 0 ]; then return; fi
    sleep $((1 << (try - 1)))
  done
}

user=$(strings <<<"$account")
url=$(sqs get-queue-url --queue-name "$queue" --query QueueUrl --output text)

number=0
entries=() # by number, which is also their Id
refused=() # numbers
while IFS= read -r body || [ -n "$body" ]; do # the last line may lack its end
  number=$((number + 1))
  # Whoever has a trace already passes it on as traceparent: the fleet continues it up to the gateway.
  entries[number]='{"Id":"'$number'","MessageBody":'$body',"MessageAttributes":{
    "userId":{"DataType":"String","StringValue":'$user'},
    "traceparent":{"DataType":"String","StringValue":"00-'$(random 16)-$(random 8)'-01"}}}'
  if [ ${#entries[@]} -eq 10 ]; then send; fi # the most that SQS takes in one call
done < <(strings)
if [ ${#entries[@]} -gt 0 ]; then send; fi

echo "$((number - ${#refused[@]})) messages are on the queue"
if [ ${#refused[@]} -gt 0 ]; then
  echo "not taken: message" "${refused[@]}" >&2
  exit 1
fi

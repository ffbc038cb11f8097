#!/usr/bin/env bash
# Puts messages on the queue with nothing but curl (7.88 or newer), which signs the requests: one message in a call, so
# that the HTTP status says all.
#
#   send-curl.sh ACCOUNT <messages.jsonl      (one JSON object a line)
#
# AWS_ENDPOINT_URL_SQS is the address of a server other than AWS.
set -euo pipefail

account=${1:?the account is missing: send-curl.sh ACCOUNT <messages.jsonl}
: "${AWS_ACCESS_KEY_ID:?is not set}" "${AWS_SECRET_ACCESS_KEY:?is not set}"
region=${AWS_REGION:-us-east-1}
endpoint=${AWS_ENDPOINT_URL_SQS:-https://sqs.$region.amazonaws.com}
queue=${SQS_QUEUE:-huntaze-hybrid-messages-production}
tries=4

# strings makes a JSON string of each line that is not empty. A line of JSON holds no control characters but tabs.
strings() { LC_ALL=C sed -e $'s/\r$//' -e '/^[[:space:]]*$/d' -e 's/[\\"]/\\&/g' -e $'s/\t/\\\\t/g' -e 's/.*/"&"/'; }

random() { od -An -v -tx1 -N"$1" /dev/urandom | tr -d ' \n'; }

# secrets are read by curl from a file of their own: arguments are seen by others of the machine.
secrets() {
  printf 'user = "%s:%s"\n' "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY"
  if [ -n "${AWS_SESSION_TOKEN:-}" ]; then printf 'header = "X-Amz-Security-Token: %s"\n' "$AWS_SESSION_TOKEN"; fi
}

# call makes one request: call ACTION JSON. It prints the answer and, on a line of its own, the HTTP status; 000 when
# there was no answer.
call() {
  curl --silent --show-error --max-time 30 --aws-sigv4 "aws:amz:$region:sqs" --config <(secrets) \
    --header 'Content-Type: application/x-amz-json-1.0' --header "X-Amz-Target: AmazonSQS.$1" \
    --data-binary @- --write-out '\n%{http_code}' "${endpoint%/}/" <<<"$2" || true
}

# send puts one message on the queue: send JSON. Twice is harmless: the same account, workflow and recipient is one
# message. So what got no answer is sent again.
send() {
  local try answer
  for ((try = 1; ; try++)); do
    answer=$(call SendMessage "$1")
    case $answer in
      *$'\n'200) return 0 ;;
      *$'\n'5?? | *$'\n'000 | *Throttl*) if [ "$try" = "$tries" ]; then break; fi ;;
      *) break ;; # the same message would be refused again
    esac
    sleep $((1 << (try - 1)))
  done
  echo "$answer" >&2
  return 1
}

user=$(strings <<<"$account")
answer=$(call GetQueueUrl '{"QueueName":"'"$queue"'"}')
url=$(sed -n 's/.*"QueueUrl" *: *"\([^"]*\)".*/\1/p' <<<"$answer")
if [ -z "$url" ]; then
  echo "the queue $queue was not found: $answer" >&2
  exit 1
fi

number=0
refused=() # numbers
while IFS= read -r body || [ -n "$body" ]; do # the last line may lack its end
  number=$((number + 1))
  # Whoever has a trace already passes it on as traceparent: the fleet continues it up to the gateway.
  send '{"QueueUrl":"'"$url"'","MessageBody":'"$body"',"MessageAttributes":{
    "userId":{"DataType":"String","StringValue":'"$user"'},
    "traceparent":{"DataType":"String","StringValue":"00-'"$(random 16)-$(random 8)"'-01"}}}' || refused+=("$number")
done < <(strings)

echo "$((number - ${#refused[@]})) messages are on the queue"
if [ ${#refused[@]} -gt 0 ]; then
  echo "not taken: message" "${refused[@]}" >&2
  exit 1
fi

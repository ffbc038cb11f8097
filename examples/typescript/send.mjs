// @ts-check
// Puts messages on the queue with the AWS SDK: up to ten in a call, and again those alone that failed.
// The types are comments, so that node runs the file as it is; editors and `tsc --checkJs` check them.

import { randomBytes } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";
import { GetQueueUrlCommand, SendMessageBatchCommand, SQSClient } from "@aws-sdk/client-sqs";

/**
 * The body. One of content and brief is required too.
 * @typedef {object} Message
 * @property {string} workflowId
 * @property {string} recipientId
 * @property {string} [campaignId]
 * @property {string} [content] the text to send
 * @property {string} [brief] or what the text is to be about
 * @property {Record<string, string>} [mergeFields] for {{name}} in a text that is written
 * @property {string} [scheduledFor] not before, RFC 3339 as toISOString writes it; left out means now
 * @property {1 | 2 | 3 | 4} [priority] 1 is the most urgent; left out means 3
 * @property {number} [maxRetries] left out means 3
 */

/** @typedef {import("@aws-sdk/client-sqs").BatchResultErrorEntry} Failure */
/** @typedef {import("@aws-sdk/client-sqs").SendMessageBatchRequestEntry} Entry */

const perCall = 10; // the most that SQS takes in one call; their bodies and attributes together may have 1 MiB
const tries = 4;

// The SDK itself reads AWS_REGION, the credentials and AWS_ENDPOINT_URL_SQS, the address of a server other than AWS.
const client = new SQSClient();

/**
 * Puts the messages of an account on the queue and returns what was not taken; the others are on the queue. Sending all
 * of them again is harmless: the same account, workflow and recipient is one message.
 * @param {string} queueUrl
 * @param {string} account
 * @param {Message[]} messages
 */
export async function send(queueUrl, account, messages) {
  /** @type {string[]} */
  const problems = [];
  for (let start = 0; start < messages.length; start += perCall) {
    const batch = messages.slice(start, start + perCall);
    const failures = await sendBatch(queueUrl, batch.map((message, i) => ({
      Id: String(i), // of this call only: the answer names failed entries by it
      MessageBody: JSON.stringify(message),
      MessageAttributes: {
        userId: { DataType: "String", StringValue: account },
        traceparent: { DataType: "String", StringValue: traceparent() },
      },
    })));
    for (const f of failures) {
      problems.push(`${batch[Number(f.Id)].workflowId} was not taken: ${f.Code}: ${f.Message}`);
    }
  }
  return problems;
}

/**
 * Makes one call, and another for the entries that failed. A call that succeeds says nothing yet: each of its entries
 * may have failed. Returns those that failed for good. When the call itself fails, the SDK has repeated it already.
 * @param {string} queueUrl
 * @param {Entry[]} entries
 */
async function sendBatch(queueUrl, entries) {
  /** @type {Failure[]} */
  const refused = [];
  for (let attempt = 1; ; attempt++) {
    const { Failed = [] } = await client.send(
      new SendMessageBatchCommand({ QueueUrl: queueUrl, Entries: entries }),
      { abortSignal: AbortSignal.timeout(30_000) }, // by itself the SDK waits without an end
    );
    // SenderFault: the same entry would fail again.
    refused.push(...Failed.filter((f) => f.SenderFault || attempt === tries));
    const again = new Set(Failed.filter((f) => !f.SenderFault && attempt < tries).map((f) => f.Id));
    entries = entries.filter((e) => again.has(e.Id));
    if (entries.length === 0) return refused;
    await wait(100 * 2 ** attempt);
  }
}

/**
 * Begins a trace (W3C Trace Context). Whoever has one already passes it on instead: the fleet continues it up to the
 * gateway.
 */
function traceparent() {
  return `00-${randomBytes(16).toString("hex")}-${randomBytes(8).toString("hex")}-01`;
}

/**
 * Twelve messages, which is more than fit in one call. The workflow ids come from the campaign and the recipient, not
 * from chance: whoever runs this twice sends nothing twice.
 */
function sample() {
  /** @type {Message[]} */
  const messages = [];
  for (let i = 1; i <= 12; i++) {
    messages.push({
      workflowId: `spring-fan-${i}`, recipientId: `fan-${i}`, campaignId: "spring",
      content: 'Spring is here 🌷\n"Half price" until Sunday.',
    });
  }
  messages[10].scheduledFor = new Date(Date.now() + 60_000).toISOString();
  messages[11] = { ...messages[11], content: undefined, brief: "Thank people who stayed for a year.", mergeFields: { name: "Ann" }, priority: 1 };
  return messages;
}

try {
  const name = process.env.SQS_QUEUE || "huntaze-hybrid-messages-production";
  const { QueueUrl } = await client.send(new GetQueueUrlCommand({ QueueName: name }));
  const messages = sample();
  const problems = await send(/** @type {string} */ (QueueUrl), "creator-7", messages);
  if (problems.length > 0) throw new Error(problems.join("\n"));
  console.log(`${messages.length} messages are on the queue`);
} catch (error) {
  console.error(error instanceof Error ? `${error.name}: ${error.message}` : error);
  process.exitCode = 1;
}

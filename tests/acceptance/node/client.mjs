// A client made from proto/ by another language's tools. It puts a template, sends a notification, waits until it is
// delivered, and prints what it saw as JSON. Usage: node client.mjs TARGET KEY PROTO_FOLDER
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const [target, key, protos] = process.argv.slice(2);
const DEADLINE_MS = 30_000;

const files = ["notifications", "templates"].map((name) => `tidings/v1/${name}.proto`);
const options = { includeDirs: [protos], keepCase: true, longs: String, enums: String, defaults: true, oneofs: true };
const { tidings } = grpc.loadPackageDefinition(loader.loadSync(files, options));

const credentials = grpc.credentials.createInsecure();
const notifications = new tidings.v1.NotificationsService(target, credentials);
const templates = new tidings.v1.TemplatesService(target, credentials);

function call(client, method, request, apiKey = key) {
  const metadata = new grpc.Metadata();
  metadata.set("authorization", `Bearer ${apiKey}`);
  const deadline = new Date(Date.now() + DEADLINE_MS);
  return new Promise((resolve, reject) => {
    client[method](request, metadata, { deadline }, (error, response) => (error ? reject(error) : resolve(response)));
  });
}

async function delivered(notificationId) {
  const end = Date.now() + DEADLINE_MS;
  while (Date.now() < end) {
    const { notification } = await call(notifications, "Get", { notification_id: notificationId });
    if (notification.deliveries.some((delivery) => delivery.status === "STATUS_DELIVERED")) return notification;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${notificationId} was not delivered in time`);
}

const template = {
  name: "from_node",
  default_language: "en",
  variables: [{ name: "name", required: true }],
  contents: [{ channel: "CHANNEL_EMAIL", language: "en", subject: "Hello {{ name }}", text: "Hello {{ name }}" }],
};
const notification = {
  type: "from_node",
  template: "from_node",
  priority: "PRIORITY_HIGH",
  channels: ["CHANNEL_EMAIL"],
  recipient: { email: "node@example.com" },
  data: { fields: { name: { stringValue: "Node" } } },
};

const stored = await call(templates, "Put", { template });
const sent = await call(notifications, "Send", { notification });
const found = await delivered(sent.notification_id);
const refused = await call(notifications, "Send", { notification: { ...notification, recipient: { email: "node@" } } }).catch((error) => error);
const stranger = await call(notifications, "Send", { notification }, "tk_wrong").catch((error) => error);

console.log(
  JSON.stringify({
    version: stored.template.version,
    notification_id: sent.notification_id,
    priority: found.priority,
    provider: found.deliveries[0].provider,
    timeline: found.deliveries[0].timeline.map((event) => event.status),
    refused: { code: grpc.status[refused.code], details: refused.details },
    stranger: grpc.status[stranger.code],
  }),
);
notifications.close();
templates.close();

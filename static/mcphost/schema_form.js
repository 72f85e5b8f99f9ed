// A form made from a JSON schema: one field for each property. Texts, numbers, booleans and choices have fields of
// their own; whatever else a schema may say is typed as JSON.
const INPUTS = { email: "email", uri: "url", date: "date" };

export class SchemaForm {
  constructor(place, schema) {
    this.place = place;
    this.schema = schema;
    const required = new Set(schema.required ?? []);
    this.fields = Object.entries(schema.properties ?? {}).map(([name, given], index) => {
      return makeField(name, simplified(given, schema), required.has(name), `try-field-${index}`);
    });
    place.replaceChildren(...this.fields.map((field) => field.node));
    if (!this.fields.length) place.append(make("p", { className: "mh-sub" }, "This tool takes no arguments."));
  }

  // The arguments; throws the first field's complaint after having marked all of them.
  values() {
    const found = {};
    let first = null;
    for (const field of this.fields) {
      try {
        field.complain("");
        const value = field.read();
        if (value !== undefined) found[field.name] = value;
      } catch (error) {
        field.complain(error.message);
        first ??= field;
      }
    }
    if (first) {
      first.input.focus();
      throw new Error(`${first.name}: ${first.said}`);
    }
    return found;
  }

  // The arguments so far: what cannot be read is left out, and nothing complains.
  typed() {
    const found = {};
    for (const field of this.fields) {
      try {
        const value = field.read();
        if (value !== undefined) found[field.name] = value;
      } catch {
        // it stays behind
      }
    }
    return found;
  }

  fill(values) {
    this.fields.forEach((field) => field.write(values[field.name]));
  }
}

export class RawForm {
  constructor(place, values) {
    this.field = makeField("arguments", { type: "object", description: "All arguments as one JSON object." }, true, "try-raw");
    this.field.write(values);
    place.replaceChildren(this.field.node);
  }

  typed() {
    return this.field.read();
  }

  values() {
    try {
      this.field.complain("");
      return this.field.read();
    } catch (error) {
      this.field.complain(error.message);
      this.field.input.focus();
      throw error;
    }
  }
}

// The schema of one property with local references followed, and what only adds null taken away.
function simplified(given, root, depth = 0) {
  if (typeof given !== "object" || given === null || depth > 8) return {};
  if (typeof given.$ref === "string" && given.$ref.startsWith("#/")) {
    const { $ref, ...beside } = given;
    const parts = $ref.slice(2).split("/").map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
    const target = parts.reduce((at, part) => at?.[part], root);
    return { ...simplified(target, root, depth + 1), ...beside };
  }
  const choices = given.anyOf ?? given.oneOf;
  const solid = choices?.filter((one) => one?.type !== "null");
  if (solid?.length === 1) {
    const { anyOf, oneOf, ...beside } = given;
    return { ...simplified(solid[0], root, depth + 1), ...beside };
  }
  if (Array.isArray(given.type)) {
    const types = given.type.filter((type) => type !== "null");
    return { ...given, type: types.length === 1 ? types[0] : undefined };
  }
  return given;
}

function makeField(name, schema, required, id) {
  const kind = kindOf(schema);
  const input = kind.make(schema, required);
  input.id = id; // and no name: a form takes one such as "querySelector" for its own
  input.classList.add("mh-input");
  input.setAttribute("aria-describedby", `${id}-help ${id}-error`);
  if (required) input.setAttribute("aria-required", "true");
  const error = make("p", { className: "mh-reason", id: `${id}-error`, hidden: true });
  const help = make("p", { className: "mh-sub mh-said", id: `${id}-help` }, helpOf(schema, kind));
  const label = make("label", { htmlFor: id }, make("code", {}, name), required ? " (required)" : "");
  const field = {
    name, input, node: make("div", { className: "mh-field" }, label, input, error, help),
    read: () => readField(kind, input, schema, required),
    write: (value) => { if (value !== undefined) input.value = kind.show(value); },
    complain: (said) => {
      field.said = error.textContent = said;
      error.hidden = !said;
      input.toggleAttribute("aria-invalid", Boolean(said));
    },
  };
  if (schema.default !== undefined && schema.default !== null) field.write(schema.default);
  return field;
}

function readField(kind, input, schema, required) {
  if (input.value === "") {
    if (!required) return undefined;
    if (kind === TEXT && !schema.minLength && input.dataset.touched) return "";
    throw new Error("This is required.");
  }
  if (!input.checkValidity()) throw new Error(input.validationMessage);
  return kind.read(input.value, schema);
}

function kindOf(schema) {
  if (Array.isArray(schema.enum) || schema.const !== undefined) return CHOICE;
  return { string: TEXT, number: NUMBER, integer: NUMBER, boolean: YES_OR_NO }[schema.type] ?? JSON_TEXT;
}

const same = (value) => value;

const TEXT = {
  make(schema) {
    const long = schema.format === undefined && !schema.pattern && !(schema.maxLength <= 200);
    const input = long ? make("textarea", { rows: 1 }) : make("input", { type: INPUTS[schema.format] ?? "text" });
    if (schema.minLength) input.minLength = schema.minLength;
    if (schema.maxLength) input.maxLength = schema.maxLength;
    input.addEventListener("input", () => { input.dataset.touched = "yes"; });
    return Object.assign(input, { spellcheck: false, autocomplete: "off" });
  },
  read(value, schema) {
    if (schema.pattern && !fits(value, schema.pattern)) throw new Error(`It must match ${schema.pattern}`);
    return value;
  },
  show: String,
};

const NUMBER = {
  make(schema) {
    const input = make("input", { type: "number", step: schema.type === "integer" ? "1" : "any" });
    if (schema.minimum !== undefined) input.min = schema.minimum;
    if (schema.maximum !== undefined) input.max = schema.maximum;
    return input;
  },
  read: Number,
  show: String,
};

const YES_OR_NO = {
  make: (schema, required) => select([["true", "true"], ["false", "false"]], required && schema.default !== undefined),
  read: (value) => value === "true",
  show: String,
};

const CHOICE = {
  make(schema, required) {
    const values = schema.enum ?? [schema.const];
    return select(values.map((value) => [JSON.stringify(value), String(value)]), required && values.length === 1);
  },
  read: JSON.parse,
  show: JSON.stringify,
};

const JSON_TEXT = {
  make: (schema) => make("textarea", { rows: 3, spellcheck: false, className: "mh-mono", placeholder: schema.type === "array" ? "[]" : schema.type === "object" ? "{}" : "JSON" }),
  read(text, schema) {
    let value;
    try {
      value = JSON.parse(text);
    } catch (error) {
      throw new Error(`This is not JSON: ${error.message}`);
    }
    if (schema.type === "array" && !Array.isArray(value)) throw new Error("It must be a JSON array: […]");
    if (schema.type === "object" && (typeof value !== "object" || value === null || Array.isArray(value))) throw new Error("It must be a JSON object: {…}");
    return value;
  },
  show: (value) => JSON.stringify(value, null, 2),
};

function helpOf(schema, kind) {
  const shape = kind === JSON_TEXT ? `${schema.type ?? "any value"}, as JSON` : schema.type ?? "";
  const bounds = [["minimum", "at least"], ["maximum", "at most"], ["pattern", "like"]].filter(([key]) => schema[key] !== undefined)
    .map(([key, words]) => `${words} ${schema[key]}`);
  return [schema.description, [shape, schema.format, ...bounds].filter(same).join(", ")].filter(same).join("\n");
}

function select(options, sure) {
  const node = make("select");
  if (!sure) node.append(new Option("not sent", ""));
  options.forEach(([value, text]) => node.append(new Option(text, value)));
  return node;
}

// The pattern comes from a hosted server, and some patterns take very long in the browser. Only simple ones are
// checked here; the server checks all of them itself.
function isQuick(pattern) {
  const repeats = pattern.match(/[*+?{]/g) ?? [];
  return pattern.length <= 200 && repeats.length <= 2 && !/[(|]|\\[1-9k]/.test(pattern);
}

function fits(value, pattern) {
  if (!isQuick(pattern) || value.length > 200) return true;
  try {
    return new RegExp(pattern, "u").test(value);
  } catch {
    return true; // the server knows its own dialect
  }
}

export function make(name, attributes = {}, ...content) {
  const node = Object.assign(document.createElement(name), attributes);
  node.append(...content);
  return node;
}

using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using static Flint.App.Nano.Vocabulary;

namespace Flint.App.Nano;

/// <summary>Invoices and contract clauses, and the JSON of a given schema that says the same.</summary>
internal static partial class Forms
{
    private const int SecondDocumentPercent = 25, AbsentPercent = 12;

    // Sets of names for the lines of an invoice.
    private const int ItemStyles = 3;

    /// <summary>A field of a document: how the text says it, and its value in JSON.</summary>
    /// <param name="Names">What a schema may call it.</param>
    /// <param name="Schema">Its schema, without the name.</param>
    /// <param name="Sentence">What the text says.</param>
    /// <param name="Raw">The words of the text that hold the value.</param>
    /// <param name="Value">The value as JSON text.</param>
    /// <param name="IsMoney">Whether it is, or ends with, an amount of money.</param>
    private sealed record Field(string[] Names, string Schema, string Sentence, string Raw, string Value, bool IsMoney = false)
    {
        /// <summary>
        /// What it is, and its value. Of money it is said first whether there are cents, as in a text the same dot ends a sentence
        /// and goes before cents.
        /// </summary>
        internal string Note => $"{Names[0]}{(!IsMoney ? "" : Raw.Length > 2 && Raw[^3] == '.' ? " cents" : " whole")} {Value}";
    }

    private const string Text = "{\"type\": \"string\"}", Date = "{\"type\": \"string\", \"format\": \"date\"}",
        Number = "{\"type\": \"number\"}", Integer = "{\"type\": \"integer\"}", Boolean = "{\"type\": \"boolean\"}";

    internal static NanoItem Make(ItemBuilder item, bool heldOut)
    {
        NanoRandom random = item.Random;
        bool invoice = random.Chance(50);
        int documents = !heldOut && random.Chance(SecondDocumentPercent) ? 2 : 1;
        (string Name, int Field)[]? schema = null;
        string kind = invoice ? "" : random.Pick(["lease", "employment", "service", "loan"]);
        int style = random.Below(ItemStyles);
        for (int d = 0; d < documents; d++)
        {
            Field[] fields = invoice ? Invoice(random, style) : Clause(random, kind);
            if (schema is null)
            {
                schema = Choose(random, fields);
                item.Schema = Schema(schema, fields);
            }
            bool[] absent = new bool[fields.Length];
            int optional = schema.Length > 2 && random.Chance(AbsentPercent) ? schema[^1].Field : -1;
            if (optional >= 0) absent[optional] = true;
            int[] told = Told(random, fields, absent, schema);
            string document = Document(random, invoice, kind, [.. told.Select(f => fields[f].Sentence)]);
            // The last field of a schema is never required, so that it may be missing.
            string ask = d == 0
                ? Frame(random, item.Schema!, document)
                : random.Pick(["Now the same for this one:", "And this one, with the same schema:", "The next one:"]) + "\n\n" + document;
            item.Key(document).Key([.. schema.Select(s => s.Name)]).User(ask);
            item.Assistant(item.Stage > 4 && item.Strength == Strength.High ? Walk(schema, fields, optional, told) : Reasoning(item, schema, fields, optional), Json(schema, fields, optional));
        }
        return item.Build();
    }

    private static (string Name, int Field)[] Choose(NanoRandom random, Field[] fields)
    {
        int[] all = [.. Enumerable.Range(0, fields.Length)];
        int[] chosen = random.Sample(all, random.Below(10) switch { < 4 => 3, < 8 => 4, _ => 5 });
        return [.. chosen.Select(f => (random.Pick(fields[f].Names), f))];
    }

    private static string Schema((string Name, int Field)[] schema, Field[] fields)
    {
        var text = new StringBuilder("{\"type\": \"object\", \"properties\": {");
        foreach ((string name, int field) in schema)
            text.Append(text[^1] == '{' ? "" : ", ").Append($"\"{name}\": {fields[field].Schema}");
        text.Append("}, \"required\": [");
        for (int i = 0; i + 1 < schema.Length; i++) text.Append(i == 0 ? "" : ", ").Append($"\"{schema[i].Name}\"");
        return text.Append("]}").ToString();
    }

    private static string Frame(NanoRandom random, string schema, string document) => random.Below(6) switch
    {
        0 => $"Write this as JSON.\n\nSchema: {schema}\n\n{document}",
        1 => $"{document}\n\nGive the data as JSON of this schema: {schema}",
        2 => $"Extract the data as JSON.\nSchema: {schema}\nText: {document}",
        3 => $"Schema: {schema}\n\n{document}",
        4 => $"Read the text and fill the schema.\n\nText: {document}\n\nSchema: {schema}",
        _ => $"JSON please, with the schema {schema}\n\n{document}",
    };

    // The fields that a document tells, in its order.
    private static int[] Told(NanoRandom random, Field[] fields, bool[] absent, (string Name, int Field)[] schema)
    {
        var told = new List<int>();
        for (int f = 0; f < fields.Length; f++)
        {
            bool wanted = Array.Exists(schema, s => s.Field == f);
            // Most of what is not asked for is left out; some stays to be passed over.
            if (!absent[f] && (wanted || random.Chance(25))) told.Add(f);
        }
        int[] order = [.. told];
        random.Shuffle(order.AsSpan());
        return order;
    }

    private static string Document(NanoRandom random, bool invoice, string kind, string[] sentences)
    {
        string head = invoice ? random.Pick(["INVOICE", "Invoice", "Our invoice to you:"]) : random.Pick(["CONTRACT", "Contract clause:", $"From the {kind} contract:"]);
        return head + (random.Chance(50) ? "\n" + string.Join('\n', sentences) : " " + string.Join(' ', sentences));
    }

    private static string Json((string Name, int Field)[] schema, Field[] fields, int absent)
    {
        var text = new StringBuilder("{");
        foreach ((string name, int field) in schema)
            if (field != absent) text.Append(text.Length == 1 ? "" : ", ").Append($"\"{name}\": {fields[field].Value}");
        return text.Append('}').ToString();
    }

    private static string Reasoning(ItemBuilder item, (string Name, int Field)[] schema, Field[] fields, int absent)
    {
        if (item.Strength == Strength.Low)
            return string.Join(", ", schema.Where(s => s.Field != absent).Select(s => fields[s.Field].Raw));
        var text = new StringBuilder();
        foreach ((string name, int at) in schema)
        {
            Field field = fields[at];
            if (text.Length > 0) text.Append('\n');
            if (at == absent)
                text.Append($"{name}: not in the text{item.By("", "", " and left out")}");
            else if (item.Strength == Strength.Medium)
                text.Append($"{name}: {field.Raw}");
            else
                text.Append($"{name}: \"{field.Sentence}\" gives {field.Value}");
        }
        return text.ToString();
    }

    // What the document says, sentence by sentence, each with what it is and its value; then every name of the schema with what it means.
    private static string Walk((string Name, int Field)[] schema, Field[] fields, int absent, int[] told)
    {
        IEnumerable<string> notes = told.Select(f => $"{fields[f].Sentence} {fields[f].Note}");
        IEnumerable<string> names = schema.Select(s => s.Field == absent ? $"{s.Name}: {fields[s.Field].Names[0]} not in the text and left out" : $"{s.Name}: {fields[s.Field].Note}");
        return string.Join('\n', notes.Concat(names));
    }

    /// <summary>Whether a text is JSON that says what the right answer says.</summary>
    internal static bool IsRight(string expected, string content) =>
        FormsSchema.Parse(content) is JsonObject got && FormsSchema.Parse(expected) is JsonObject right && JsonNode.DeepEquals(Numbers(right), Numbers(got));

    // 12.50 and 12.5 are the same number: both become 12.5.
    private static JsonNode? Numbers(JsonNode? node) => node switch
    {
        JsonObject map => new JsonObject(map.Select(p => KeyValuePair.Create(p.Key, Numbers(p.Value)))),
        JsonArray list => new JsonArray([.. list.Select(Numbers)]),
        JsonValue value when value.GetValueKind() == JsonValueKind.Number && decimal.TryParse(value.ToJsonString(), NumberStyles.Float, CultureInfo.InvariantCulture, out decimal number) =>
            JsonValue.Create(number / 1.000000000000000000000000000m),
        _ => node?.DeepClone(),
    };
}

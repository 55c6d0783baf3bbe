using System.Text;
using System.Text.Json;
using Flint.Grammar;

namespace Flint.Dialects;

/// <summary>
/// The grammar of a whole response in a chat format: thoughts are free, the answer and the calls are held to what is asked of them.
/// </summary>
internal sealed class ResponseGrammar
{
    /// <summary>Marks of the chat formats that a vocabulary may have as control tokens.</summary>
    public static readonly string[] Marks = ["<|start|>", "<|message|>", "<|eom|>", "<think>", "</think>", "<tool_call>", "</tool_call>"];

    private const int MaxThoughts = 16; // messages of thoughts, one behind the other
    private const int MaxSpace = 4; // white space between what a response is made of
    private const string ParameterClose = "</atem:parameter>";

    private static readonly JsonElement NoSchema = JsonDocument.Parse("""{"type": "object"}""").RootElement;

    private readonly Dialect _dialect;
    private readonly TokenVocabulary _vocabulary;
    private readonly ResponseRules _rules;
    private readonly ToolSchemas _schemas;
    private readonly JsonLanguage _json;
    private readonly JsonLanguage _tagged; // inside tags
    private readonly Automaton _automaton;
    private readonly Language _free; // any text without control tokens
    private readonly Language _space;

    private ResponseGrammar(Dialect dialect, TokenVocabulary vocabulary, ResponseRules rules, JsonLanguage json)
    {
        _dialect = dialect;
        _vocabulary = vocabulary;
        _rules = rules;
        _schemas = new ToolSchemas(rules.Tools);
        _json = json;
        _tagged = new JsonLanguage(json.Automaton, escapesTags: true);
        _automaton = json.Automaton;
        _free = _automaton.Repeat(_automaton.Bytes(ByteSet.Range(0, 0xF4)));
        _space = _automaton.Repeat(_automaton.Bytes(ByteSet.Of(" \t\r\n"u8)), 0, MaxSpace);
    }

    /// <summary>Makes the grammar of a response.</summary>
    /// <param name="dialect">Its chat format.</param>
    /// <param name="vocabulary">The model's tokens, with <see cref="Marks"/> as control tokens.</param>
    /// <param name="rules">What is asked of it.</param>
    /// <exception cref="FlintException">Caller: a schema or grammar cannot be enforced, or the chat format cannot force a call.</exception>
    public static TokenGrammar Create(Dialect dialect, TokenVocabulary vocabulary, ResponseRules rules) =>
        TokenGrammar.Make(vocabulary, json => new ResponseGrammar(dialect, vocabulary, rules, json).Response());

    private IEnumerable<ToolDefinition> Called => _rules.ForcedTool is { } name ? _rules.Tools.Where(tool => tool.Name == name) : _rules.Tools;

    private Language Response()
    {
        if (_rules.IsRaw)
            return Content();
        return _dialect.Kind switch
        {
            DialectKind.MuseGlimmer => MuseGlimmer(),
            DialectKind.ChatMl => _automaton.Then(ChatMlThoughts(), ChatMlBody()),
            DialectKind.Llama3 => Llama3(),
            _ when _rules.ForcesCall || _rules.Strict.Count > 0 => throw NoCalls("has no format of calls that is known"),
            _ => Content(),
        };
    }

    private static FlintException NoCalls(string why) =>
        FlintException.Caller("calls_not_enforced", $"A call cannot be forced or held to its schema here: this model's chat format {why}.");

    /// <summary>The answer, where it is no call.</summary>
    private Language Content() => _rules.Format switch
    {
        null => _free,
        { Kind: ResponseFormatKind.JsonObject } => _json.Object,
        { Kind: ResponseFormatKind.Grammar } format => Gbnf.Compile(_json, format.Text),
        { } format => Schema(format.Text),
    };

    private Language Schema(string text)
    {
        try
        {
            using JsonDocument schema = JsonDocument.Parse(text, new JsonDocumentOptions { MaxDepth = 512 });
            return JsonSchema.Compile(_json, schema.RootElement.Clone(), isAnyOrder: false);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException) // no JSON, or a string that is no Unicode
        {
            throw FlintException.Caller("invalid_schema", $"The schema cannot be read: {error.Message}");
        }
    }

    // ---- calls as JSON ----

    /// <summary>A call <c>{"name": ..., KEY: {...}}</c>.</summary>
    private Language JsonCall(string argumentsKey)
    {
        Language Literal(string text) => _automaton.Literal(Encoding.UTF8.GetBytes(text));
        IEnumerable<Language> calls = Called.Select(tool => _automaton.Then(
            Literal("{"), _json.Space, Literal("\"name\""), _json.Colon, _automaton.Literal(_json.Quoted(tool.Name)), _json.Comma,
            Literal($"\"{argumentsKey}\""), _json.Colon, Arguments(tool), _json.Space, Literal("}")));
        return _automaton.Either([.. calls]);
    }

    // Arguments of a function that is not strict are held to its schema where that can be, and else to be an object.
    private Language Arguments(ToolDefinition tool)
    {
        if (tool.Parameters is null)
            return _json.Object;
        return Enforce(tool, schema => _automaton.Rule(Built(JsonSchema.Compile(_json, ObjectsOf(schema), isAnyOrder: false)))) ?? _json.Object;
    }

    private static Func<Language> Built(Language expression) => () => expression;

    private T? Enforce<T>(ToolDefinition tool, Func<JsonElement, T?> compile)
        where T : class
    {
        JsonElement schema = tool.Parameters is null ? NoSchema : JsonSerializer.SerializeToElement(tool.Parameters);
        if (_rules.Strict.Contains(tool.Name))
            return compile(schema);
        return IsEnforceable(schema) ? compile(schema) : null;
    }

    private bool IsEnforceable(JsonElement schema)
    {
        try
        {
            TokenGrammar.OfSchema(_vocabulary, ObjectsOf(schema));
            return true;
        }
        catch (FlintException fault) when (fault.Side == FaultSide.Caller)
        {
            return false;
        }
    }

    // Arguments are an object, also where the schema leaves that open.
    private static JsonElement ObjectsOf(JsonElement schema)
    {
        if (schema.ValueKind != JsonValueKind.Object || schema.TryGetProperty("type", out _) || schema.TryGetProperty("$ref", out _))
            return schema;
        var copy = System.Text.Json.Nodes.JsonObject.Create(schema)!;
        copy["type"] = "object";
        return JsonSerializer.SerializeToElement(copy);
    }

    private Language Llama3()
    {
        if (!_rules.ForcesCall && _rules.Strict.Count == 0)
            return Content();
        Language call = JsonCall("parameters");
        if (_rules.ForcesCall)
            return call;
        if (_rules.Format is not null)
            return _automaton.Either(call, Content());
        // What begins as a call does is one.
        Language begins = _automaton.Then(_automaton.Repeat(_automaton.Bytes(ByteSet.Of(" \t\r\n"u8))), _automaton.Bytes(ByteSet.Of("{["u8)), _automaton.Anything);
        return _automaton.Either(call, _automaton.Both(_free, _automaton.Not(begins)));
    }

    private Language ChatMlThoughts()
    {
        if (_rules.ThoughtsAreOver)
            return _automaton.Empty;
        Language rest = _automaton.Then(Until("</think>"), _space);
        if (_rules.StartsInReasoning)
            return rest;
        return _dialect.MayReason ? _automaton.Optional(_automaton.Then(_space, Mark("<think>"), rest)) : _automaton.Empty;
    }

    private Language ChatMlBody()
    {
        if (!_rules.ForcesCall && _rules.Strict.Count == 0)
            return Content();
        if (_dialect.WritesTaggedCalls)
            throw NoCalls("writes calls with tags whose arguments are no JSON");
        Language call = _automaton.Then(Mark("<tool_call>"), _space, JsonCall("arguments"), _space, Mark("</tool_call>"));
        Language calls = _rules.AllowsSeveralCalls ? _automaton.Then(call, _automaton.Repeat(_automaton.Then(_space, call))) : call;
        if (_rules.ForcesCall)
            return calls;
        return _rules.Format is not null ? _automaton.Either(calls, Content()) : _automaton.Then(Without("<tool_call>"), _automaton.Optional(calls));
    }

    // ---- Muse Glimmer ----

    private Language MuseGlimmer()
    {
        Language next = _automaton.Then(Mark("<|eom|>"), Mark("<|start|>"), Text("assistant"));
        Language thoughts = _automaton.Repeat(_automaton.Then(Text(" to=self"), Mark("<|message|>"), _free, next), 0, _rules.ThoughtsAreOver ? 0 : MaxThoughts);
        Language answer = _automaton.Then(Text(" to=user"), Mark("<|message|>"), Content());
        if (!_rules.ForcesCall && _rules.Strict.Count == 0)
            return _automaton.Then(thoughts, answer);
        Language call = _automaton.Either([.. Called.Select(MuseCall)]);
        Language calls = _rules.AllowsSeveralCalls ? _automaton.Then(call, _automaton.Repeat(_automaton.Then(next, call))) : call;
        return _automaton.Then(thoughts, _rules.ForcesCall ? calls : _automaton.Either(answer, calls));
    }

    private Language MuseCall(ToolDefinition tool)
    {
        Language body = Enforce(tool, schema => MuseArguments(tool, schema)) ?? AnyMuseArguments();
        return _automaton.Then(
            Text($" to={tool.Name}"), Mark("<|message|>"), Text($"<atem:function_calls>\n<atem:invoke name=\"{tool.Name}\">\n"), body, Text("</atem:invoke>\n</atem:function_calls>"));
    }

    private Language MuseArguments(ToolDefinition tool, JsonElement schema)
    {
        IReadOnlyList<(string Name, Language Value, bool IsRequired)> arguments =
            JsonSchema.Arguments(_tagged, ObjectsOf(schema), name => _schemas.IsString(tool.Name, name), text => _automaton.Both(text, _automaton.Not(Containing(ParameterClose))))
            ?? throw NoCalls($"writes arguments one by one, and the schema of '{tool.Name}' says more of them together than which are required");
        Language result = _automaton.Empty;
        foreach ((string name, Language value, bool isRequired) in arguments.Reverse())
        {
            Language one = _automaton.Then(Text($"<atem:parameter name=\"{name}\">"), value, Text(ParameterClose + "\n"));
            result = _automaton.Then(isRequired ? one : _automaton.Optional(one), result);
        }

        return result;
    }

    private Language AnyMuseArguments()
    {
        Language name = _automaton.Repeat(_json.Plain.Of(CodePoints.WordCharacters), 1, 64);
        return _automaton.Repeat(_automaton.Then(
            _automaton.Then(Text("<atem:parameter name=\""), name, Text("\">")), _automaton.Both(_free, _automaton.Not(Containing(ParameterClose))), Text(ParameterClose + "\n")));
    }

    // ---- texts ----

    private Language Text(string text) => _automaton.Literal(Encoding.UTF8.GetBytes(text));

    private Language Mark(string mark) => _automaton.Literal(_vocabulary.Mark(mark));

    private Language Containing(string text) => _automaton.Then(_automaton.Anything, Text(text), _automaton.Anything);

    /// <summary>Any text in which a mark is not.</summary>
    private Language Without(string mark) =>
        _vocabulary.Mark(mark).Length == 1 ? _free : _automaton.Both(_free, _automaton.Not(Containing(mark)));

    /// <summary>Any text up to a mark and the mark.</summary>
    private Language Until(string mark) => _automaton.Then(Without(mark), Mark(mark));
}

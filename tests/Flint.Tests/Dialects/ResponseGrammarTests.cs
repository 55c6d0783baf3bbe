using System.Text;
using System.Text.Json.Nodes;
using Flint.Dialects;
using Flint.Grammar;

namespace Flint.Tests.Dialects;

/// <summary>Whole responses in the words of each chat format: thoughts are free, answers and calls are held to what is asked.</summary>
public sealed class ResponseGrammarTests
{
    private const string Muse = "<atem:function_calls><|eom|>", ChatMl = "<|im_start|><think><tool_call>", Llama = "<|start_header_id|>", Schema = """{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": false}""";

    private static readonly string[] Controls = ["<|start|>", "<|message|>", "<|eom|>", "<|eot|>", "<|im_end|>", "<think>", "</think>"];

    // All bytes, then control tokens.
    private static readonly TokenVocabulary Vocabulary = new(
        256 + Controls.Length, id => id < 256 ? [(byte)id] : Encoding.UTF8.GetBytes(Controls[id - 256]), id => id >= 256, ResponseMarks());

    private static readonly ResponseFormat Number = new(ResponseFormatKind.JsonSchema, Schema);

    private static readonly ToolDefinition[] Tools =
    [
        ToolDefinition.Create("weather", null, JsonNode.Parse("""{"type": "object", "properties": {"city": {"type": "string", "enum": ["Oslo", "Rome"]}, "days": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}}}, "required": ["city"], "additionalProperties": false}""")!.AsObject()),
        ToolDefinition.Create("ping", null, null),
    ];

    [Theory]
    [InlineData(Muse, " to=user<|message|>{\"n\": 1}| to=self<|message|>I {think} \" to=x<|eom|><|start|>assistant to=user<|message|>{\"n\": -5}", " to=user<|message|>hello|{\"n\": 1}| to=self<|message|>a<|eot|>| to=self<|message|>a<|eom|>")]
    [InlineData(ChatMl, "{\"n\": 1}|<think>\nhm </tool_call>\n</think>\n\n{\"n\": 2}", "hello|\n\n{\"n\": 3}|<think>x|<think>{\"n\": 1}|{\"n\": 1}<think></think>|<think><|im_end|></think>{\"n\": 1}")]
    [InlineData(Llama, "{\"n\": 1}", "text|{\"name\": \"ping\", \"parameters\": {}}")]
    [InlineData("plain", "{\"n\": 1}", "text|<think></think>{\"n\": 1}")]
    public void An_answer_is_held_to_its_schema_behind_free_thoughts(string template, string valid, string invalid) =>
        Check(template, new ResponseRules { Format = Number }, valid, invalid);

    private const string MuseCall = "<|message|><atem:function_calls>\n<atem:invoke name=\"weather\">\n<atem:parameter name=\"city\">Oslo</atem:parameter>\n<atem:parameter name=\"days\">3</atem:parameter>\n<atem:parameter name=\"tags\">[\"a\\u003cb\"]</atem:parameter>\n</atem:invoke>\n</atem:function_calls>";

    [Theory]
    [InlineData(Muse, " to=weather" + MuseCall + "| to=self<|message|>hm<|eom|><|start|>assistant to=weather" + MuseCall + "<|eom|><|start|>assistant to=ping<|message|><atem:function_calls>\n<atem:invoke name=\"ping\">\n</atem:invoke>\n</atem:function_calls>",
        " to=user<|message|>hi| to=other" + MuseCall)]
    [InlineData(ChatMl, "<think>a</think>\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Rome\"}}\n</tool_call>|<tool_call>{\"name\": \"ping\", \"arguments\": {}}</tool_call>\n<tool_call>{\"name\":\"ping\",\"arguments\":{}}</tool_call>",
        "hi|<tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": \"Paris\"}}</tool_call>|<tool_call>{\"name\": \"weather\", \"arguments\": {}}</tool_call>|<think>a</think>")]
    [InlineData(Llama, "{\"name\": \"weather\", \"parameters\": {\"city\": \"Rome\", \"days\": 2}}", "hi|{\"name\": \"other\", \"parameters\": {}}|{\"name\": \"weather\", \"parameters\": {\"days\": 2}}")]
    public void A_forced_call_is_one_of_the_functions_with_arguments_of_its_schema(string template, string valid, string invalid)
    {
        Check(template, new ResponseRules { Tools = Tools, ForcesCall = true }, valid, invalid);
        foreach (string text in Split(valid).Where(text => text.Contains("weather", StringComparison.Ordinal)))
            Assert.False(Accepts(template, new ResponseRules { Tools = Tools, ForcesCall = true, ForcedTool = "ping" }, text), text);
    }

    [Theory]
    [InlineData(Muse, " to=user<|message|>hi| to=weather" + MuseCall, " to=weather<|message|>x| to=weather<|message|><atem:function_calls>\n<atem:invoke name=\"weather\">\n<atem:parameter name=\"city\">Paris</atem:parameter>\n</atem:invoke>\n</atem:function_calls>")]
    [InlineData(ChatMl, "hi|hi <tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": \"Rome\"}}</tool_call>", "<tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": \"Paris\"}}</tool_call>|a <tool_call>")]
    [InlineData(Llama, "hi {|{\"name\": \"ping\", \"parameters\": {}}", "{\"name\": \"weather\", \"parameters\": {}}|[1]")]
    public void A_strict_function_may_be_called_and_then_with_arguments_of_its_schema(string template, string valid, string invalid) =>
        Check(template, new ResponseRules { Tools = Tools, Strict = ["weather"] }, valid, invalid);

    [Fact]
    public void One_call_is_one_where_several_are_not_wanted()
    {
        var rules = new ResponseRules { Tools = Tools, ForcesCall = true, AllowsSeveralCalls = false };
        const string Call = "<tool_call>{\"name\": \"ping\", \"arguments\": {}}</tool_call>";
        Check(ChatMl, rules, Call, Call + Call);
    }

    [Fact]
    public void A_prompt_that_ends_in_thoughts_has_the_answer_behind_their_end() =>
        Check(ChatMl, new ResponseRules { Format = Number, StartsInReasoning = true }, "hm\n</think>\n\n{\"n\": 1}", "{\"n\": 1}|<think>a</think>");

    [Fact]
    public void Behind_thoughts_that_are_over_comes_the_call_and_no_other_thought()
    {
        var rules = new ResponseRules { Tools = Tools, ForcesCall = true, ThoughtsAreOver = true, StartsInReasoning = true };
        const string Call = "<tool_call>{\"name\": \"ping\", \"arguments\": {}}</tool_call>";
        Check(ChatMl, rules, Call, "hm</think>" + Call);
        Check(Muse, rules, " to=weather" + MuseCall, " to=self<|message|>hm<|eom|><|start|>assistant to=weather" + MuseCall);
        Check(Muse, rules with { ThoughtsAreOver = false }, " to=self<|message|>hm<|eom|><|start|>assistant to=weather" + MuseCall, " to=user<|message|>hm");
    }

    [Fact]
    public void What_a_format_cannot_force_is_refused()
    {
        var forced = new ResponseRules { Tools = Tools, ForcesCall = true };
        Assert.Equal("calls_not_enforced", Assert.Throws<FlintException>(() => Grammar("plain", forced)).Code);
        Assert.Equal("calls_not_enforced", Assert.Throws<FlintException>(() => Grammar(ChatMl + "<function=", forced)).Code);
        ToolDefinition odd = ToolDefinition.Create("odd", null, JsonNode.Parse("""{"type": "object", "properties": {"a": {"type": "array", "uniqueItems": true}}}""")!.AsObject());
        Assert.Contains("uniqueItems", Assert.Throws<FlintException>(() => Grammar(ChatMl, new ResponseRules { Tools = [odd], Strict = ["odd"] })).Message);
        // Not strict, its arguments are any object.
        Check(ChatMl, new ResponseRules { Tools = [odd], ForcesCall = true }, "<tool_call>{\"name\": \"odd\", \"arguments\": {\"a\": [1, 1]}}</tool_call>", "hi");
    }

    [Theory]
    [InlineData(Muse)]
    [InlineData(ChatMl)]
    [InlineData(Llama)]
    public void What_random_tokens_write_is_read_back_as_calls_of_the_schema(string template)
    {
        Dialect dialect = DialectOf(template);
        TokenGrammar grammar = Grammar(template, new ResponseRules { Tools = Tools, ForcesCall = true });
        var random = new Random(11);
        int read = 0;
        for (int round = 0; round < 40; round++)
        {
            GrammarState state = grammar.Start();
            ulong[] mask = new ulong[state.MaskWords];
            var tokens = new List<int>();
            while (tokens.Count < 4000 && !(state.CanEnd && (!state.CanGoOn || random.Next(3) == 0)))
            {
                state.CopyMask(mask);
                int[] allowed = [.. Enumerable.Range(0, Vocabulary.Count).Where(id => (mask[id >> 6] >> id & 1) != 0)];
                // Control tokens and what ends a string come often, so that texts stay short; bytes alone are seldom text.
                int[] ends = [.. allowed.Where(id => id >= 256 || id is '"' or '<' or ']' or '}' or '>')];
                int[] plain = [.. allowed.Where(id => id < 128)];
                int[] from = ends.Length > 0 && random.Next(2) == 0 ? ends : plain.Length > 0 ? plain : allowed;
                int token = from[random.Next(from.Length)];
                Assert.True(state.TryRead(token));
                tokens.Add(token);
            }

            if (!state.CanEnd)
                continue;
            read++;
            var deltas = new List<ResponseDelta>();
            ResponseParser parser = dialect.CreateParser(new ResponseParserOptions { Tools = Tools });
            foreach (int token in tokens)
                parser.Push(token, token < 256 ? ((char)token).ToString() : Controls[token - 256], token >= 256, deltas);
            parser.Finish(deltas);
            Assert.True(parser.ToolCalls > 0);
            Assert.DoesNotContain(deltas, delta => delta.Kind == ResponseDeltaKind.Content && delta.Text.Trim().Length > 0);
            for (int call = 0; call < parser.ToolCalls; call++)
            {
                string name = deltas.Single(delta => delta.Kind == ResponseDeltaKind.ToolCallStart && delta.ToolIndex == call).ToolName!;
                JsonNode arguments = JsonNode.Parse(string.Concat(deltas.Where(delta => delta.Kind == ResponseDeltaKind.ToolCallArguments && delta.ToolIndex == call).Select(delta => delta.Text)))!;
                if (name == "weather")
                    Assert.Contains((string?)arguments["city"], (string[])["Oslo", "Rome"]);
                else
                    Assert.Equal("ping", name);
            }
        }

        Assert.InRange(read, 10, 40);
    }

    private static string[] ResponseMarks() => ["<|start|>", "<|message|>", "<|eom|>", "<think>", "</think>"];

    private static Dialect DialectOf(string template) => Dialect.Detect(template, mark => Array.IndexOf(Controls, mark) is >= 0 and int at ? 256 + at : null, id => id >= 256);

    private static TokenGrammar Grammar(string template, ResponseRules rules) => DialectOf(template).CreateGrammar(Vocabulary, rules);

    private static void Check(string template, ResponseRules rules, string valid, string invalid)
    {
        Assert.All(Split(valid), text => Assert.True(Accepts(template, rules, text), text));
        Assert.All(Split(invalid), text => Assert.False(Accepts(template, rules, text), text));
    }

    // Texts are parted by bars that stand in no control token.
    private static IEnumerable<string> Split(string texts) => texts.Replace("<|", "\u0001", StringComparison.Ordinal).Replace("|>", "\u0002", StringComparison.Ordinal).Split('|')
        .Select(text => text.Replace("\u0001", "<|", StringComparison.Ordinal).Replace("\u0002", "|>", StringComparison.Ordinal));

    private static bool Accepts(string template, ResponseRules rules, string text)
    {
        GrammarState state = Grammar(template, rules).Start();
        while (text.Length > 0)
        {
            string? control = Array.Find(Controls, mark => text.StartsWith(mark, StringComparison.Ordinal));
            if (!state.TryRead(control is null ? text[0] : 256 + Array.IndexOf(Controls, control)))
                return false;
            text = text[(control?.Length ?? 1)..];
        }

        return state.CanEnd;
    }
}

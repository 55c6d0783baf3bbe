using System.Text;
using System.Text.Json.Nodes;
using Flint.Dialects;

namespace Flint.Tests.Dialects;

/// <summary>Responses of each format, whole, token by token, and cut at every place.</summary>
public class ResponseParserTests
{
    private const string Muse = "<atem:function_calls><|eom|>";
    private const string ChatMl = "<|im_start|><tool_call>";
    private const string Llama = "<|start_header_id|>";
    private static readonly string[] Controls = ["<|start|>", "<|message|>", "<|eom|>", "<|eot|>", "<|python_tag|>", "<|eot_id|>", "<|im_end|>"];

    private static readonly ToolDefinition[] Tools =
    [
        Tool("get_weather", """{"city": {"type": "string"}, "units": {"type": "string"}, "days": {"type": "integer"}, "opts": {"type": "object"}, "maybe": {"type": ["string", "null"]}, "mode": {"enum": ["a", "b"]}, "any": {}}"""),
        Tool("read", """{"filePath": {"type": "string"}, "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}"""),
        Tool("files.list", "{}"),
        Tool("now", "{}"),
    ];

    private static ToolDefinition Tool(string name, string properties) =>
        ToolDefinition.Create(name, null, new JsonObject { ["type"] = "object", ["properties"] = JsonNode.Parse(properties) });

    private static ResponseParser Parser(string template, bool withTools = true, bool reasoning = false) =>
        Dialect.Detect(template, _ => null, _ => false).CreateParser(new ResponseParserOptions { Tools = withTools ? Tools : [], StartsInReasoning = reasoning });

    /// <summary>What was released, joined per kind and call: <c>R[...]</c> thoughts, <c>C[...]</c> answer, <c>T0 name(arguments)</c>.</summary>
    private static string Join(List<ResponseDelta> deltas)
    {
        var text = new StringBuilder();
        ResponseDeltaKind? last = null;
        foreach (ResponseDelta delta in deltas)
        {
            bool open = last is ResponseDeltaKind.Reasoning or ResponseDeltaKind.Content;
            if (open && last != delta.Kind)
                text.Append(']');
            switch (delta.Kind)
            {
                case ResponseDeltaKind.Reasoning or ResponseDeltaKind.Content:
                    text.Append(last == delta.Kind ? "" : delta.Kind == ResponseDeltaKind.Reasoning ? "R[" : "C[").Append(delta.Text);
                    break;
                case ResponseDeltaKind.ToolCallStart:
                    Assert.Equal($"call_{delta.ToolIndex}", delta.ToolId);
                    text.Append('T').Append(delta.ToolIndex).Append(' ').Append(delta.ToolName).Append('(');
                    break;
                case ResponseDeltaKind.ToolCallArguments: text.Append(delta.Text); break;
                default: text.Append(')'); break;
            }

            last = delta.Kind;
        }

        return last is ResponseDeltaKind.Reasoning or ResponseDeltaKind.Content ? text.Append(']').ToString() : text.ToString();
    }

    private static string Read(ResponseParser parser, params IEnumerable<string> pieces)
    {
        var deltas = new List<ResponseDelta>();
        foreach (string piece in pieces)
            parser.Push(-1, piece, deltas);
        parser.Finish(deltas);
        return Join(deltas);
    }

    /// <summary>Feeds tokens with ids: control tokens marked as such, text in single characters.</summary>
    private static string ReadTokens(ResponseParser parser, string response)
    {
        var deltas = new List<ResponseDelta>();
        for (int i = 0; i < response.Length;)
        {
            string? control = Array.Find(Controls, c => string.CompareOrdinal(response, i, c, 0, c.Length) == 0);
            parser.Push(1, control ?? response[i].ToString(), control is not null, deltas);
            i += control?.Length ?? 1;
        }

        parser.Finish(deltas);
        return Join(deltas);
    }

    /// <summary>The same result whole, by characters, cut in two at every place, in three at many, and, unless told otherwise, as tokens.</summary>
    private static void Check(Func<ResponseParser> create, string response, string expected, bool asTokens = true)
    {
        Assert.Equal(expected, Read(create(), response));
        Assert.Equal(expected, Read(create(), response.Select(c => c.ToString())));
        for (int i = 1; i < response.Length; i++)
            Assert.Equal(expected, Read(create(), response[..i], response[i..]));
        var random = new Random(7);
        for (int n = 0; n < 50 && response.Length > 2; n++)
        {
            int a = random.Next(response.Length), b = random.Next(a, response.Length);
            Assert.Equal(expected, Read(create(), response[..a], response[a..b], response[b..]));
        }

        if (asTokens)
            Assert.Equal(expected, ReadTokens(create(), response));
    }

    private const string Block = "<atem:function_calls>\n<atem:invoke name=\"get_weather\">\n<atem:parameter name=\"city\">SF</atem:parameter>\n</atem:invoke>\n</atem:function_calls>";

    [Theory]
    [InlineData(" to=self<|message|>Think.<|eom|><|start|>assistant to=user<|message|>Hello!<|eot|>", "R[Think.]C[Hello!]")]
    [InlineData("<|message|>Hello!<|eot|>", "C[Hello!]")]
    [InlineData(" to=user<|message|>Hi to=no one <b> to=", "C[Hi to=no one <b> to=]")]
    [InlineData(" to=self<|message|>a<|eom|><|start|>assistant to=self<|message|>b<|eom|><|start|>assistant to=user<|message|>c<|eot|>ignored", "R[ab]C[c]")]
    [InlineData(" to=self<|message|>cut off at the lim", "R[cut off at the lim]")]
    [InlineData(" to=self<|message|>a<|start|>assistant to=user<|message|>b<|eot|>", "R[a]C[b]")]
    [InlineData(" to=user<|message|>a <|start|>user says<|eot|>", "C[a <|start|>user says]")]
    [InlineData(" to=user<|message|>a<|eom|><|start|>user<|message|>Next question", "C[a]")]
    [InlineData("{\"a\": 1}", "C[{\"a\": 1}]")]
    [InlineData("to", "C[to]")]
    [InlineData("to=5 is odd", "C[to=5 is odd]")]
    [InlineData("  \n", "")]
    [InlineData(" to=self", "")]
    [InlineData("", "")]
    [InlineData(" to=user<|message|>  lead\n", "C[  lead\n]")]
    [InlineData(" to=self<|message|>t<|eom|><|start|>assistant", "R[t]")]
    [InlineData(" to=self<|message|>I call it. to=now<|message|>", "R[I call it.]T0 now({})")]
    [InlineData(" to=self<|message|>Go to=now<|message|> to=now<|message|>", "R[Go]T0 now({})T1 now({})")]
    [InlineData(" to=now<|message|><|eot|>", "T0 now({})")]
    [InlineData(" to=now<|message|>{\"a\": 1}<|eot|>", "T0 now({\"a\": 1})")]
    [InlineData(" to=now<|message|>just words<|eot|>", "C[just words]")]
    [InlineData(" to=get_weather<|message|>" + Block + "<|eot|>", "T0 get_weather({\"city\": \"SF\"})")]
    [InlineData(" to=get_weather<|message|>" + Block + "<|eom|><|start|>assistant to=get_weather<|message|>" + Block + "<|eot|>", "T0 get_weather({\"city\": \"SF\"})T1 get_weather({\"city\": \"SF\"})")]
    [InlineData(" to=self<|message|>x<|eom|><|start|>assistant to=get_weather<|message|>" + Block + "<|eom|><|start|>assistant to=user<|message|>done<|eot|>", "R[x]T0 get_weather({\"city\": \"SF\"})C[done]")]
    [InlineData(" to=user<|message|>" + Block + "<|eot|>", "T0 get_weather({\"city\": \"SF\"})")]
    [InlineData(" to=user<|message|>\n" + Block + "\n<|eot|>", "T0 get_weather({\"city\": \"SF\"})")]
    [InlineData(" to=user<|message|>" + Block + " and more<|eot|>", "C[" + Block + " and more]")]
    [InlineData(" to=user<|message|><atem:func", "C[<atem:func]")]
    [InlineData(" to=user<|message|><atem:x<|eot|>", "C[<atem:x]")]
    [InlineData(" to=user<|message|><<|eot|>", "C[<]")]
    public void Muse_Glimmer_channels(string response, string expected) => Check(() => Parser(Muse), response, expected);

    [Theory]
    [InlineData("<atem:parameter name=\"city\">New\nYork \"x\" \\ é</atem:parameter>\n<atem:parameter name=\"days\">3</atem:parameter>\n", "{\"city\": \"New\\nYork \\\"x\\\" \\\\ é\", \"days\": 3}")]
    [InlineData("<atem:parameter name=\"city\"> 12 </atem:parameter>", "{\"city\": \" 12 \"}")]
    [InlineData("<atem:parameter name=\"opts\">{\"a\": [1, 2.50]}</atem:parameter>", "{\"opts\": {\"a\": [1, 2.50]}}")]
    [InlineData("<atem:parameter name=\"opts\">not json</atem:parameter>", "{\"opts\": \"not json\"}")]
    [InlineData("<atem:parameter name=\"maybe\">null</atem:parameter>", "{\"maybe\": null}")]
    [InlineData("<atem:parameter name=\"maybe\">text</atem:parameter>", "{\"maybe\": \"text\"}")]
    [InlineData("<atem:parameter name=\"maybe\">5</atem:parameter>", "{\"maybe\": \"5\"}")]
    [InlineData("<atem:parameter name=\"mode\">a</atem:parameter>", "{\"mode\": \"a\"}")]
    [InlineData("<atem:parameter name=\"any\">true</atem:parameter><atem:parameter name=\"new\">tru</atem:parameter>", "{\"any\": true, \"new\": \"tru\"}")]
    [InlineData("<atem:parameter name=\"city\">a<|eot|>b<|start|>assistant to=user<|message|>c</atem:parameter>", "{\"city\": \"a<|eot|>b<|start|>assistant to=user<|message|>c\"}", false)]
    [InlineData("<atem:parameter name=\"city\">a<|eom|>b<|message|>c</atem:parameter>", "{\"city\": \"a<|eom|>b<|message|>c\"}")]
    [InlineData("<atem:parameter name=\"city\"></atem:para</atem:parameter>", "{\"city\": \"</atem:para\"}")]
    [InlineData("name=\"city\">SF</atem:parameter>", "{\"city\": \"SF\"}")]
    [InlineData("", "{}")]
    public void Muse_Glimmer_arguments(string parameters, string expected, bool asTokens = true)
    {
        string response = $" to=get_weather<|message|><atem:function_calls>\n<atem:invoke name=\"get_weather\">\n{parameters}\n</atem:invoke>\n</atem:function_calls><|eot|>";
        Check(() => Parser(Muse), response, $"T0 get_weather({expected})", asTokens);
        JsonNode.Parse(expected);
    }

    [Theory]
    [InlineData("read.read", "<atem:invoke name=\"read.read\"><atem:parameter name=\"filePath\">a</atem:parameter></atem:invoke>", "T0 read({\"filePath\": \"a\"})")]
    [InlineData("files.list", "<atem:invoke name=\"files.list\"></atem:invoke>", "T0 files.list({})")]
    [InlineData("read", "<atem:invoke name=\"read\">\nname=\"read.filePath\">a</atem:parameter>\n</atem:invoke>", "T0 read({\"filePath\": \"a\"})")]
    [InlineData("read", "<atem:invoke name=\"read.filePath\">a</atem:parameter>\n</atem:invoke>", "T0 read({\"filePath\": \"a\"})")]
    [InlineData("read", "<atem:invoke name=\"read<|message|>\n<atem:parameter name=\"filePath\">a</atem:parameter></atem:invoke>", "T0 read({\"filePath\": \"a\"})")]
    [InlineData("read", "<atem:invoke name=\"re<|message|>ad\">\n</atem:invoke>", "T0 read({})")]
    [InlineData("read", "<atem:invoke name=\"read\"></atem:invoke>\n<atem:invoke name=\"now\"></atem:invoke>", "T0 read({})T1 now({})")]
    [InlineData("nothere", "<atem:invoke name=\"now\"></atem:invoke>", "T0 now({})")]
    [InlineData("now", "<atem:invoke name=\"bogus\"></atem:invoke>", "T0 now({})")]
    [InlineData("x.list", "<atem:invoke name=\"x.list\"></atem:invoke>", "T0 x.list({})")]
    public void Muse_Glimmer_names(string recipient, string invoke, string expected) => Check(
        () => Parser(Muse), $" to={recipient}<|message|><atem:function_calls>\n{invoke}\n</atem:function_calls><|eot|>", expected);

    [Fact]
    public void Muse_Glimmer_tells_control_tokens_from_text_by_their_ids()
    {
        var deltas = new List<ResponseDelta>();
        ResponseParser parser = Parser(Muse);
        foreach ((string text, bool control) in new[] { (" to=", false), ("user", false), ("<|message|>", true), ("Write <|eot|> or <|start|>assistant to=self<|message|>", false), ("<|eot|>", true) })
            parser.Push(5, text, control, deltas);
        parser.Finish(deltas);
        Assert.Equal("C[Write <|eot|> or <|start|>assistant to=self<|message|>]", Join(deltas));
    }

    [Fact]
    public void Muse_Glimmer_calls_that_never_close_are_closed_by_a_real_end()
    {
        const string Open = " to=get_weather<|message|><atem:function_calls>\n<atem:invoke name=\"get_weather\">\n<atem:parameter name=\"city\">SF";
        Assert.Equal("T0 get_weather({\"city\": \"SF\"})", ReadTokens(Parser(Muse), Open + "<|eot|>"));
        Assert.Equal("T0 get_weather({\"city\": \"SF\"})C[ok]", ReadTokens(Parser(Muse), Open + "<|eom|><|start|>assistant to=user<|message|>ok<|eot|>"));
        Assert.Equal("T0 get_weather({\"city\": \"SF)", ReadTokens(Parser(Muse), Open));
        Check(() => Parser(Muse), Open, "T0 get_weather({\"city\": \"SF)");
    }

    [Fact]
    public void Muse_Glimmer_counts_the_tokens_of_its_thoughts()
    {
        ResponseParser parser = Parser(Muse);
        var deltas = new List<ResponseDelta>();
        foreach ((string text, bool control) in new[] { (" to=", false), ("self", false), ("<|message|>", true), ("a", false), (" b", false), ("<|eom|>", true), ("<|start|>", true), ("assistant", false), (" to=user", false), ("<|message|>", true), ("c", false), ("<|eot|>", true) })
            parser.Push(5, text, control, deltas);
        parser.Finish(deltas);
        Assert.Equal(2, parser.ReasoningTokens);
        Assert.Equal("R[a b]C[c]", Join(deltas));
    }

    [Fact]
    public void Text_is_released_as_soon_as_it_cannot_be_a_marker()
    {
        ResponseParser parser = Parser(Muse);
        var deltas = new List<ResponseDelta>();
        parser.Push(-1, " to=user<|message|>Hello wor", deltas);
        Assert.Equal("C[Hello wor]", Join(deltas));
        parser.Push(-1, "ld. <|e", deltas);
        Assert.Equal("C[Hello world.]", Join(deltas));
        parser.Push(-1, "h", deltas);
        Assert.Equal("C[Hello world. <|eh]", Join(deltas));
        ResponseParser call = Parser(Muse);
        deltas.Clear();
        call.Push(-1, " to=read<|message|><atem:function_calls><atem:invoke name=\"read\"><atem:parameter name=\"filePath\">abc</at", deltas);
        Assert.Equal("T0 read({\"filePath\": \"abc", Join(deltas));
    }

    [Theory]
    [InlineData("Just text.", "C[Just text.]")]
    [InlineData("  {\"name\": \"get_weather\", \"parameters\": {\"city\": \"Oslo {}\", \"days\": 2}}", "T0 get_weather({\"city\": \"Oslo {}\", \"days\": 2})")]
    [InlineData("<|python_tag|>{\"name\": \"now\", \"parameters\": {}}", "T0 now({})")]
    [InlineData("<|python_tag|>get_weather.call(city=\"Oslo\", days=2)", "T0 get_weather({\"city\": \"Oslo\", \"days\": 2})")]
    [InlineData("<|python_tag|>print(1)", "C[print(1)]")]
    [InlineData("{\"name\": \"now\", \"parameters\": {}}; {\"type\": \"function\", \"name\": \"now\", \"arguments\": \"{\\\"a\\\": 1}\"}", "T0 now({})T1 now({\"a\": 1})")]
    [InlineData("[{\"name\": \"now\", \"parameters\": {}}, {\"name\": \"now\", \"parameters\": {}}]", "T0 now({})T1 now({})")]
    [InlineData("{\"name\": \"now\"}\nAnd text", "T0 now({})C[And text]")]
    [InlineData("{\"name\": \"Ann\", \"age\": 5}", "C[{\"name\": \"Ann\", \"age\": 5}]")]
    [InlineData("{\"name\": \"now\", \"parameters\": [1]} x", "C[{\"name\": \"now\", \"parameters\": [1]} x]")]
    [InlineData("{\"answer\": {\"name\": \"now\"}}", "C[{\"answer\": {\"name\": \"now\"}}]")]
    [InlineData("[1, 2]", "C[[1, 2]]")]
    [InlineData("{\"name\": \"now\", \"param", "C[{\"name\": \"now\", \"param]")]
    [InlineData(" \n", "C[ \n]")]
    public void Llama_3(string response, string expected) => Check(() => Parser(Llama), response, expected);

    [Fact]
    public void Llama_3_without_tools_answers_in_text_only() =>
        Check(() => Parser(Llama, false), "{\"name\": \"now\", \"parameters\": {}}", "C[{\"name\": \"now\", \"parameters\": {}}]");

    [Fact]
    public void Llama_3_ends_at_its_control_tokens() =>
        Assert.Equal("T0 now({})", ReadTokens(Parser(Llama), "{\"name\": \"now\", \"parameters\": {}}<|eot_id|>"));

    [Theory]
    [InlineData("Hi <b> there ", "C[Hi <b> there ]")]
    [InlineData("<think>\nHm.\n\nSo.\n</think>\n\nHello\n", "R[Hm.\n\nSo.]C[Hello\n]")]
    [InlineData("\n<think></think>x", "C[x]")]
    [InlineData("<think>cut", "R[cut]")]
    [InlineData("a <think> b", "C[a <think> b]")]
    [InlineData("<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"</tool_call>\"}}\n</tool_call>", "T0 get_weather({\"city\": \"</tool_call>\"})")]
    [InlineData("Let me.\n\n<tool_call>{\"name\": \"now\", \"arguments\": {}}</tool_call>\n<tool_call>{\"name\": \"now\", \"arguments\": {}}</tool_call>\n", "C[Let me.]T0 now({})T1 now({})")]
    [InlineData("<think>t</think>\n<tool_call>{\"name\": \"now\", \"arguments\": {}}</tool_call> after", "R[t]T0 now({})C[after]")]
    [InlineData("<tool_call>{\"name\": \"now\", \"arguments\": {}}", "T0 now({})")]
    [InlineData("<tool_call>{\"name\": \"now\", \"arguments\": {}} <tool_call>{\"name\": \"now\"}</tool_call>", "T0 now({})T1 now({})")]
    [InlineData("<tool_call>{\"name\": \"now\", \"argu", "C[<tool_call>{\"name\": \"now\", \"argu]")]
    [InlineData("<tool_call>{\"nome\": 1}</tool_call>", "C[<tool_call>{\"nome\": 1}</tool_call>]")]
    [InlineData("<tool_call>words</tool_call>!", "C[<tool_call>words</tool_call>!]")]
    [InlineData("<tool_call>\n<function=get_weather>\n<parameter=city>\nNew\nYork\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>", "T0 get_weather({\"city\": \"New\\nYork\", \"days\": 3})")]
    [InlineData("ok <function=read>\n<parameter=filePath>\na\n</parameter>\n<parameter=limit>\n5\n</parameter></function>\n</tool_call>", "C[ok]T0 read({\"filePath\": \"a\", \"limit\": 5})")]
    [InlineData("<tool_call><function=now></function>", "T0 now({})")]
    [InlineData("< tool_call> <<tool_call", "C[< tool_call> <<tool_call]")]
    public void ChatMl_tags(string response, string expected) => Check(() => Parser(ChatMl), response, expected);

    [Fact]
    public void ChatMl_thoughts_may_be_opened_by_the_prompt()
    {
        Check(() => Parser(ChatMl, true, true), "\nHm.\n</think>\n\nYes", "R[Hm.]C[Yes]");
        Check(() => Parser(ChatMl, false), "<tool_call>{\"name\": \"now\"}</tool_call>", "C[<tool_call>{\"name\": \"now\"}</tool_call>]");
        Assert.Equal("C[Yes]", ReadTokens(Parser(ChatMl), "Yes<|im_end|>"));
    }

    [Theory]
    [InlineData(Muse, " to=get_weather<|message|><atem:function_calls><atem:invoke name=\"get_weather\"><atem:parameter name=\"city\">", "<atem:param", "</atem:parameter></atem:invoke></atem:function_calls>")]
    [InlineData(Muse, " to=user<|message|>", " to=", "<|eot|>")]
    [InlineData(Muse, " to=user<|message|>", "<|start|>assistant ", "<|eot|>")]
    [InlineData(Llama, "{\"name\": \"now\", \"parameters\": {\"a\": \"", "{[", "\"}}")]
    [InlineData(ChatMl, "<tool_call>{\"name\": \"now\", \"arguments\": {\"a\": \"", "</tool_c", "\"}}</tool_call>")]
    [InlineData(ChatMl, "<tool_call><function=now><parameter=a>", "</func ", "</parameter></function></tool_call>")]
    [InlineData(ChatMl, "<think>", "\n\n", "</think>")]
    public void Long_responses_are_read_in_linear_time(string template, string before, string repeated, string after)
    {
        // A quadratic parser would take hours for this one.
        ResponseParser parser = Parser(template);
        var deltas = new List<ResponseDelta>();
        string chunk = string.Concat(Enumerable.Repeat(repeated, 1000));
        parser.Push(-1, before, deltas);
        for (int i = 0; i < 2_000_000 / chunk.Length; i++)
            parser.Push(-1, chunk, deltas);
        parser.Push(-1, after, deltas);
        parser.Finish(deltas);
        Assert.True(deltas.Sum(d => d.Text.Length) > 1_000_000 || repeated == "\n\n");
    }

    [Theory]
    [InlineData("<atem:function_calls> <|eom|>", DialectKind.MuseGlimmer)]
    [InlineData("<|im_start|>", DialectKind.ChatMl)]
    [InlineData("<|start_header_id|> <tool_call>", DialectKind.ChatMl)]
    [InlineData("<|start_header_id|>", DialectKind.Llama3)]
    [InlineData("[INST]", DialectKind.Plain)]
    public void The_template_tells_the_dialect(string template, DialectKind kind) => Assert.Equal(kind, Dialect.Detect(template, _ => null, _ => false).Kind);

    [Fact]
    public void Without_a_template_the_vocabulary_tells_the_dialect()
    {
        DialectKind Of(params string[] tokens) => Dialect.Detect(null, t => Array.IndexOf(tokens, t) is >= 0 and int i ? i : null, _ => false).Kind;
        Assert.Equal(DialectKind.MuseGlimmer, Of("<|start|>", "<|message|>", "<|eom|>", "<|eot|>"));
        Assert.Equal(DialectKind.ChatMl, Of("<|im_start|>"));
        Assert.Equal(DialectKind.Llama3, Of("<|start_header_id|>"));
        Assert.Equal(DialectKind.Plain, Of("a"));
    }

    [Fact]
    public void Markers_typed_as_ordinary_tokens_are_known_by_their_ids()
    {
        string[] tokens = ["<|start|>", "<|message|>", "<|eom|>", "<|eot|>"];
        Dialect dialect = Dialect.Detect(Muse, t => Array.IndexOf(tokens, t) is >= 0 and int i ? i : null, _ => false);
        ResponseParser parser = dialect.CreateParser();
        var deltas = new List<ResponseDelta>();
        parser.Push(100, " to=user", deltas);
        parser.Push(1, "<|message|>", deltas);
        parser.Push(101, "x", deltas);
        parser.Push(3, "<|eot|>", deltas);
        parser.Push(102, "y", deltas);
        parser.Finish(deltas);
        Assert.Equal("C[x]", Join(deltas));
    }

    [Fact]
    public void Efforts_become_template_variables()
    {
        static string Of(string template, string effort) => string.Join(",", Dialect.Detect(template, _ => null, _ => false).EffortVariables(effort).Select(v => $"{v.Key}={v.Value}"));
        Assert.Equal("reasoning_strength=low", Of("reasoning_strength", "minimal"));
        Assert.Equal("reasoning_strength=xhigh", Of("reasoning_strength", "max"));
        Assert.Equal("enable_thinking=False", Of("enable_thinking", "none"));
        Assert.Equal("enable_thinking=True", Of("enable_thinking", "medium"));
        Assert.Equal("reasoning_effort=high", Of("reasoning_effort", "xhigh"));
        Assert.Equal("", Of("", "low"));
        Assert.Equal("invalid_reasoning_effort", Assert.Throws<FlintException>(() => Of("", "lots")).Code);
        Assert.True(Dialect.Detect("reasoning_strength", _ => null, _ => false).HidesReasoning("none"));
        Assert.True(Dialect.Detect(ChatMl, _ => null, _ => false).OpensReasoning("<|im_start|>assistant\n<think>\n"));
        Assert.False(Dialect.Detect(ChatMl, _ => null, _ => false).OpensReasoning("<think>\n\n</think>\n\n"));
    }

    [Fact]
    public void Call_ids_come_from_the_callers_generator()
    {
        ResponseParser parser = Dialect.Detect(Llama, _ => null, _ => false).CreateParser(new ResponseParserOptions { Tools = Tools, CallId = i => $"call_abc_{i}" });
        var deltas = new List<ResponseDelta>();
        parser.Push(-1, "{\"name\": \"now\"}", deltas);
        Assert.Equal("call_abc_0", deltas[0].ToolId);
        Assert.Equal(1, parser.ToolCalls);
    }
}

using System.Text.Json.Nodes;
using Flint.Dialects;

namespace Flint.Tests.Dialects;

/// <summary>The chat template of flint-nano: Muse Glimmer's turns, readable by its parser, and only ever appended to.</summary>
public sealed class NanoTemplateTests
{
    private static readonly string Source = File.ReadAllText(Path.Combine(TestData.Root, "models/nano/template.jinja"));
    private static readonly ChatTemplate Template = ChatTemplate.Parse(Source);

    private static readonly ToolDefinition[] Tools =
    [
        Tool("calculator", """{"expression": {"type": "string"}}"""),
        Tool("lookup.city", """{"name": {"type": "string"}, "limit": {"type": "integer"}, "exact": {"type": "boolean"}, "tags": {"type": "array"}}"""),
        Tool("lookup.person", """{"name": {"type": "string"}}"""),
        Tool("clock", "{}"),
    ];

    [Fact]
    public void A_conversation_with_tools_reads_as_it_should()
    {
        ChatMessage[] messages =
        [
            new() { Role = "user", Content = "Paris and Rome?" },
            new()
            {
                Role = "assistant",
                ReasoningContent = "Look up both.",
                ToolCalls =
                [
                    new ToolCall("a", "lookup.city", """{"name": "Paris", "limit": 2, "exact": true, "tags": ["x", 1]}"""),
                    new ToolCall("b", "clock", "{}"),
                ],
            },
            new() { Role = "tool", ToolCallId = "a", Content = "2 M" },
            new() { Role = "tool", ToolCallId = "b", Content = "12:00" },
            new() { Role = "assistant", Content = "Done." },
            new() { Role = "user", Content = "Thanks" },
        ];
        const string expected =
            """
            <|begin_of_text|><|start|>system<|message|>You are flint-nano, a small assistant.

            Reasoning strength: low.

            // Function schemas
            {"name": "lookup.city", "description": "Tool lookup.city.", "parameters": {"type": "object", "properties": {"name": {"type": "string"}, "limit": {"type": "integer"}, "exact": {"type": "boolean"}, "tags": {"type": "array"}}}}
            {"name": "lookup.person", "description": "Tool lookup.person.", "parameters": {"type": "object", "properties": {"name": {"type": "string"}}}}
            {"name": "clock", "description": "Tool clock.", "parameters": {"type": "object", "properties": {}}}

            # Valid recipients: "self", "lookup.*", "clock.*", "user".<|eot|><|start|>user<|message|>Paris and Rome?<|eot|><|start|>assistant to=self<|message|>Look up both.<|eom|><|start|>assistant to=lookup.city<|message|><atem:function_calls>
            <atem:invoke name="lookup.city">
            <atem:parameter name="name">Paris</atem:parameter>
            <atem:parameter name="limit">2</atem:parameter>
            <atem:parameter name="exact">true</atem:parameter>
            <atem:parameter name="tags">["x", 1]</atem:parameter>
            </atem:invoke>
            </atem:function_calls><|eom|><|start|>assistant to=clock<|message|><atem:function_calls>
            <atem:invoke name="clock">
            </atem:invoke>
            </atem:function_calls><|eot|><|start|>tool lookup.city<|message|><tool_output name="lookup.city">
            2 M
            </tool_output><|eot|><|start|>tool clock<|message|><tool_output name="clock">
            12:00
            </tool_output><|eot|><|start|>assistant to=user<|message|>Done.<|eot|><|start|>user<|message|>Thanks<|eot|><|start|>assistant
            """;
        Assert.Equal(expected.ReplaceLineEndings("\n"), Render(messages, true, Tools[1..], "low"));
    }

    [Theory]
    [InlineData(null, "high")]
    [InlineData("minimal", "low")]
    [InlineData("low", "low")]
    [InlineData("medium", "medium")]
    [InlineData("high", "high")]
    [InlineData("xhigh", "high")]
    public void Strengths_are_low_medium_and_high(string? strength, string written)
    {
        string text = Render([new() { Role = "user", Content = "Hi" }], true, [], strength);
        Assert.Equal($"<|begin_of_text|><|start|>system<|message|>You are flint-nano, a small assistant.\n\nReasoning strength: {written}.\n\n"
            + "# Valid recipients: \"self\", \"user\".<|eot|><|start|>user<|message|>Hi<|eot|><|start|>assistant", text);
    }

    [Theory]
    [InlineData("system")]
    [InlineData("developer")]
    public void Instructions_stand_where_they_were_given(string role)
    {
        string text = Render([new() { Role = role, Content = "Be brief." }, new() { Role = "user", Content = "Hi" }, new() { Role = role, Content = "Now in verse." }], false, [], null);
        Assert.Equal("<|begin_of_text|><|start|>system<|message|>Be brief.\n\nReasoning strength: high.\n\n# Valid recipients: \"self\", \"user\".<|eot|>"
            + "<|start|>user<|message|>Hi<|eot|><|start|>system<|message|>Now in verse.<|eot|>", text);
    }

    [Fact]
    public void An_unknown_role_is_refused() =>
        Assert.Equal("template_error", Assert.Throws<FlintException>(() => Render([new() { Role = "narrator", Content = "x" }], true, [], null)).Code);

    [Fact]
    public void A_prompt_is_the_beginning_of_the_same_conversation_with_its_answer()
    {
        var random = new Random(21);
        for (int round = 0; round < 100; round++)
        {
            List<ChatMessage> messages = Conversation(random);
            ToolDefinition[] tools = random.Next(2) == 0 ? Tools : [];
            for (int i = 1; i < messages.Count; i++)
            {
                string before = Render(messages[..i], messages[i].Role == "assistant", tools, "medium");
                Assert.StartsWith(before, Render(messages[..(i + 1)], false, tools, "medium"));
            }
        }
    }

    [Fact]
    public void The_parser_reads_back_what_the_template_wrote()
    {
        Dialect dialect = Dialect.Detect(Source, _ => null, _ => false);
        Assert.Equal(DialectKind.MuseGlimmer, dialect.Kind);
        var random = new Random(22);
        int parallel = 0;
        for (int round = 0; round < 200; round++)
        {
            List<ChatMessage> messages = Conversation(random);
            int at = messages.FindLastIndex(m => m.Role == "assistant");
            ChatMessage sent = messages[at];
            string answer = Render(messages[..(at + 1)], false, Tools, null)[Render(messages[..at], true, Tools, null).Length..];
            var deltas = new List<ResponseDelta>();
            ResponseParser parser = dialect.CreateParser(new ResponseParserOptions { Tools = Tools });
            parser.Push(-1, answer, deltas);
            parser.Finish(deltas);
            string Text(ResponseDeltaKind kind, int tool = -1) => string.Concat(deltas.Where(d => d.Kind == kind && (tool < 0 || d.ToolIndex == tool)).Select(d => d.Text));
            Assert.Equal(sent.ReasoningContent ?? "", Text(ResponseDeltaKind.Reasoning));
            Assert.Equal(sent.Content ?? "", Text(ResponseDeltaKind.Content));
            ToolCall[] calls = [.. sent.ToolCalls ?? []];
            Assert.Equal(calls.Select(c => c.Name), deltas.Where(d => d.Kind == ResponseDeltaKind.ToolCallStart).Select(d => d.ToolName!));
            for (int c = 0; c < calls.Length; c++)
                Assert.True(JsonNode.DeepEquals(JsonNode.Parse(calls[c].Arguments), JsonNode.Parse(Text(ResponseDeltaKind.ToolCallArguments, c))), calls[c].Arguments);
            if (calls.Length > 1) parallel++;
        }
        Assert.True(parallel > 10);
    }

    private static ToolDefinition Tool(string name, string properties) =>
        ToolDefinition.Create(name, $"Tool {name}.", new JsonObject { ["type"] = "object", ["properties"] = JsonNode.Parse(properties) });

    private static string Render(IReadOnlyList<ChatMessage> messages, bool prompt, ToolDefinition[] tools, string? strength) => Template.Render(new TemplateInput
    {
        Messages = messages,
        Tools = tools,
        AddGenerationPrompt = prompt,
        BosToken = "<|begin_of_text|>",
        Extra = strength is null ? new Dictionary<string, object?>() : new Dictionary<string, object?> { ["reasoning_strength"] = strength },
    });

    /// <summary>A random conversation that ends with an answer; calls come alone and in parallel, with and without thoughts and text.</summary>
    private static List<ChatMessage> Conversation(Random random)
    {
        string[] words = ["red", "two  spaces", "line\nbreak", "\"quoted\"", "it's", "{\"a\": 1}", "☃", "a<b>c&d"];
        string Text() => string.Join(' ', Enumerable.Range(0, random.Next(1, 5)).Select(_ => words[random.Next(words.Length)]));
        string Arguments(string name) => name switch
        {
            "calculator" => new JsonObject { ["expression"] = Text() }.ToJsonString(),
            "lookup.city" => new JsonObject { ["name"] = Text(), ["limit"] = random.Next(9), ["exact"] = random.Next(2) == 0, ["tags"] = new JsonArray(Text(), 2, null) }.ToJsonString(),
            "lookup.person" => new JsonObject { ["name"] = Text() }.ToJsonString(),
            _ => "{}",
        };
        var messages = new List<ChatMessage>();
        if (random.Next(2) == 0) messages.Add(new ChatMessage { Role = random.Next(2) == 0 ? "system" : "developer", Content = Text() });
        int calls = 0;
        for (int turns = random.Next(1, 4); turns > 0; turns--)
        {
            messages.Add(new ChatMessage { Role = "user", Content = Text() });
            string? thoughts = random.Next(2) == 0 ? Text() : null;
            if (random.Next(2) == 0)
            {
                ToolCall[] made = [.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => Tools[random.Next(Tools.Length)].Name)
                    .Select(name => new ToolCall($"call_{calls++ % 3}", name, Arguments(name)))];
                messages.Add(new ChatMessage { Role = "assistant", ReasoningContent = thoughts, ToolCalls = made, Content = random.Next(4) == 0 ? Text() : null });
                if (turns == 1 && random.Next(2) == 0) break;
                messages.AddRange(made.Select(call => new ChatMessage { Role = "tool", ToolCallId = call.Id, Content = Text(), Name = random.Next(2) == 0 ? call.Name : null }));
            }
            messages.Add(new ChatMessage { Role = "assistant", ReasoningContent = thoughts, Content = Text() });
        }
        return messages;
    }
}

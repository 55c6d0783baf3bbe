using Flint.App.Serving;
using Flint.Contemplate;
using Flint.Dialects;

namespace Flint.App.Tests.Serving;

/// <summary>The function that spawns sub-agents, in the chat formats.</summary>
public sealed class ChatSubagentsTests
{
    private const string Glimmer =
        " to=self<|message|>Two cities.<|eom|><|start|>assistant to=subagents.spawn<|message|><atem:function_calls>\n<atem:invoke name=\"subagents.spawn\">\n"
        + "<atem:parameter name=\"message_template\">Tell of {item}</atem:parameter>\n<atem:parameter name=\"items\">[\"Paris\", \"Oslo\"]</atem:parameter>\n</atem:invoke>\n</atem:function_calls><|eot|>";

    private const string ChatMl = """<tool_call>{"name": "subagents.spawn", "arguments": {"message_template": "Tell of {item}", "items": ["Paris", "Oslo"]}}</tool_call>""";
    private const string Llama = """{"name": "subagents.spawn", "parameters": {"message_template": "Tell of {item}", "items": ["Paris", "Oslo"]}}""";

    [Theory]
    [InlineData("<atem:function_calls><|eom|>", Glimmer)]
    [InlineData("<|im_start|>", ChatMl)]
    [InlineData("<|start_header_id|>", Llama)]
    public void A_call_is_read_in_every_format(string template, string answer)
    {
        ChatDraft turn = Read(template, answer);
        ToolCall call = Assert.Single(turn.Calls);
        Assert.Equal(SubagentCall.Function, call.Name);
        SubagentCall asked = SubagentCall.Read(call.Arguments, out string? fault)!;
        Assert.Null(fault);
        Assert.Equal(["Tell of Paris", "Tell of Oslo"], asked.Items.Select((_, i) => asked.Message(i)));
    }

    [Fact]
    public void The_answers_of_agents_are_a_tool_s_output()
    {
        string source = File.ReadAllText(Path.Combine(TestData.Root, "models/nano/template.jinja"));
        ChatDraft turn = Read(source, Glimmer);
        string prompt = ChatTemplate.Parse(source).Render(new TemplateInput
        {
            Messages = [new ChatMessage { Role = "user", Content = "hi" }, .. ChatSubagents.Messages(turn, ["[{}]"], 4)],
            Tools = [ChatSubagents.Offer()],
            BosToken = "",
        });
        Assert.Contains("\"message_template\"", prompt, StringComparison.Ordinal);
        Assert.Contains("# Valid recipients: \"self\", \"subagents.*\", \"user\".", prompt, StringComparison.Ordinal);
        // What the model wrote stands there again, so that its pages are found.
        Assert.EndsWith("<|start|>assistant" + Glimmer + "<|start|>tool subagents.spawn<|message|><tool_output name=\"subagents.spawn\">\n[{}]\n</tool_output><|eot|><|start|>assistant", prompt, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{\"a\": \"\u00e9\"}", "{\"a\":\"\u00e9\"}")]
    [InlineData("{\"a\":", "{\"INVALID_JSON\":\"{\\\"a\\\":\"}")]
    [InlineData("7", "{\"INVALID_JSON\":\"7\"}")]
    public void Arguments_that_are_no_object_are_shown_in_one(string written, string shown)
    {
        var turn = new ChatDraft("", "", [new ToolCall("x", SubagentCall.Function, written)], 0, null);
        ChatMessage[] messages = [.. ChatSubagents.Messages(turn, ["{}"], 2)];
        Assert.Equal(("call_2", shown), (messages[0].ToolCalls![0].Id, messages[0].ToolCalls![0].Arguments));
        Assert.Equal(("tool", "call_2", "{}"), (messages[1].Role, messages[1].ToolCallId, messages[1].Content));
    }

    private static ChatDraft Read(string template, string answer)
    {
        ResponseParser parser = Dialect.Detect(template, _ => null, _ => false).CreateParser(new ResponseParserOptions { Tools = [ChatSubagents.Offer()] });
        var deltas = new List<ResponseDelta>();
        parser.Push(-1, answer, deltas);
        parser.Finish(deltas);
        return ChatDraft.Join(deltas, 0);
    }
}

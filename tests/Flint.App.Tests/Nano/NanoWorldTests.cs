using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;
using Flint.App.Nano;
using Flint.Dialects;

namespace Flint.App.Tests.Nano;

public sealed class NanoWorldTests
{
    private static readonly string[] AllTasks = [.. NanoWorld.Tasks, NanoWorld.WordsTask];

    public static TheoryData<string> Tasks => [.. AllTasks];

    [Theory]
    [MemberData(nameof(Tasks))]
    public void Held_out_items_of_any_seed_share_no_key_with_training(string task)
    {
        // Exchanges that stand for themselves are compared one by one, those in chats and mixed examples too.
        int count = task == "needle" ? 300 : 4000;
        var training = new HashSet<string>();
        for (int i = 0; i < count; i++)
            foreach (NanoItem example in (NanoItem[])[NanoWorld.Train(1, task, i), NanoWorld.Train(2, null, i)])
                training.UnionWith([example.Key, .. example.Key.Split(NanoWorld.KeySeparator)]);
        for (ulong seed = 1; seed <= 3; seed++)
            for (int i = 0; i < count / 10; i++)
            {
                NanoItem item = NanoWorld.HeldOut(seed, task, i);
                Assert.True(item.IsHeldOut);
                Assert.DoesNotContain(item.Key, training);
                Assert.Contains(item.Key.Split(NanoWorld.KeySeparator), key => NanoWorld.IsHeldOut(key) && !training.Contains(key));
            }
        Assert.All(training, key => Assert.False(NanoWorld.IsHeldOut(key)));
    }

    [Theory]
    [MemberData(nameof(Tasks))]
    public void An_item_depends_on_seed_and_number_alone(string task)
    {
        string Text(ulong seed, long index) => string.Join('\n', NanoWorld.Train(seed, task, index).Messages.Select(m => m.Content + m.ReasoningContent));
        string seventh = Text(5, 7);
        Text(5, 6);
        Assert.Equal(seventh, Text(5, 7));
        Assert.NotEqual(seventh, Text(6, 7));
        Assert.NotEqual(seventh, Text(5, 8));
    }

    [Fact]
    public void The_same_seed_gives_the_same_bytes_on_every_machine()
    {
        using var stream = new MemoryStream();
        NanoData.Write(stream, 1, 200, null);
        string first = Convert.ToHexStringLower(SHA256.HashData(stream.ToArray()));
        using var again = new MemoryStream();
        NanoData.Write(again, 1, 200, null);
        Assert.Equal(first, Convert.ToHexStringLower(SHA256.HashData(again.ToArray())));
    }

    [Fact]
    public void The_random_numbers_are_those_of_SplitMix64()
    {
        // Published values of the generator for the state 1234567.
        ulong state = 1234567;
        ulong[] expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821];
        foreach (ulong value in expected) Assert.Equal(value, NanoRandom.Mix(state += 0x9E3779B97F4A7C15));
    }

    [Fact]
    public void Lines_are_conversations_with_thoughts_in_every_answer()
    {
        using var stream = new MemoryStream();
        NanoData.Write(stream, 2, 500, null);
        string[] lines = System.Text.Encoding.UTF8.GetString(stream.ToArray()).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(500, lines.Length);
        var tasks = new HashSet<string>();
        foreach (string line in lines)
        {
            JsonElement item = JsonDocument.Parse(line).RootElement;
            tasks.Add(item.GetProperty("task").GetString()!);
            Assert.Contains(item.GetProperty("reasoning_strength").GetString(), new[] { "low", "medium", "high" });
            JsonElement[] messages = [.. item.GetProperty("messages").EnumerateArray()];
            Assert.Equal("assistant", messages[^1].GetProperty("role").GetString());
            foreach (JsonElement message in messages.Where(m => m.GetProperty("role").GetString() == "assistant"))
            {
                bool learnt = !message.TryGetProperty("weight", out JsonElement weight) || weight.GetInt32() != 0;
                Assert.Equal(learnt, message.TryGetProperty("reasoning_content", out JsonElement thoughts) && thoughts.GetString() != "");
                Assert.True(message.TryGetProperty("content", out _) || message.TryGetProperty("tool_calls", out _));
            }
        }
        Assert.Equal(NanoWorld.Tasks.Order(), tasks.Order());
    }

    [Theory]
    [MemberData(nameof(Tasks))]
    public void Thoughts_grow_with_the_strength(string task)
    {
        var lengths = new double[3];
        var counts = new int[3];
        for (int i = 0; i < 400; i++)
        {
            NanoItem item = NanoWorld.Train(3, task, i);
            foreach (ChatMessage message in item.Graded.Select(i => item.Messages[i]))
            {
                lengths[(int)item.Strength] += message.ReasoningContent!.Length;
                counts[(int)item.Strength]++;
            }
        }
        double low = lengths[0] / counts[0], medium = lengths[1] / counts[1], high = lengths[2] / counts[2];
        Assert.True(low * 1.1 < medium && medium * 1.3 < high, $"{task}: {low:F0}, {medium:F0}, {high:F0} characters");
    }

    [Theory]
    [MemberData(nameof(Tasks))]
    public void The_first_stages_ask_and_answer_the_same_and_differ_in_thoughts(string task)
    {
        int differ = 0;
        for (int i = 0; i < 200; i++)
        {
            NanoItem first = NanoWorld.Train(4, task, i, stage: 1), second = NanoWorld.Train(4, task, i, stage: 2);
            Assert.Equal(first.Key, second.Key);
            Assert.Equal(first.Messages.Select(m => m.Content), second.Messages.Select(m => m.Content));
            if (first.Messages.Zip(second.Messages).All(m => m.First.ReasoningContent == m.Second.ReasoningContent)) continue;
            differ++;
            Assert.True(second.Strength == Strength.High || task is "facts" or "chat", $"{task}, {second.Strength}");
        }
        Assert.Equal(task is "arithmetic" or "lists" or "facts" or "chat", differ > 0);
    }

    [Fact]
    public void The_last_stage_compares_one_by_one()
    {
        int compared = 0;
        for (int i = 0; i < 100; i++)
        {
            NanoItem item = NanoWorld.HeldOut(5, "reading", i);
            string thoughts = item.Messages[^1].ReasoningContent!, answer = item.Messages[^1].Content!;
            Assert.StartsWith("Asked: ", thoughts);
            Assert.Equal(answer == Reading.NotSaid, thoughts.EndsWith("no. Not told.", StringComparison.Ordinal));
            Assert.Equal(answer != Reading.NotSaid, thoughts.EndsWith(": yes.", StringComparison.Ordinal));
            compared += thoughts.Split(": ").Length - 2;
        }
        Assert.True(compared > 300, $"{compared} comparisons");
    }

    [Fact]
    public void The_last_stage_compares_every_tool_with_what_is_wanted()
    {
        int refused = 0, called = 0;
        for (int i = 0; i < 300; i++)
        {
            NanoItem item = NanoWorld.HeldOut(5, "tools", i);
            foreach (ChatMessage message in item.Messages.Where(m => m.ReasoningContent?.Contains(" This is ", StringComparison.Ordinal) == true))
            {
                string[] verdicts = message.ReasoningContent!.Split(". ").Where(s => s.TrimEnd('.').EndsWith(": yes") || s.EndsWith(": no")).ToArray();
                if (message.ToolCalls is not { Count: > 0 } calls)
                {
                    refused++;
                    Assert.Equal(item.Tools.Count, verdicts.Length);
                    Assert.All(verdicts, verdict => Assert.EndsWith(": no", verdict));
                }
                else
                {
                    called++;
                    string[] fitting = [.. verdicts.Where(verdict => !verdict.EndsWith(": no"))];
                    Assert.Equal(calls.Select(call => call.Name), fitting.Select(verdict => verdict.Split(", ")[0]));
                }
            }
        }
        Assert.True(refused > 20 && called > 100, $"{refused} refusals, {called} calls");
    }

    [Fact]
    public void The_last_stage_notes_what_a_document_says()
    {
        int amounts = 0;
        for (int i = 0; i < 200; i++)
        {
            NanoItem item = NanoWorld.HeldOut(5, "json", i);
            string document = item.Messages[^2].Content!;
            string[] lines = item.Messages[^1].ReasoningContent!.Split('\n');
            JsonObject answer = JsonNode.Parse(item.Messages[^1].Content!)!.AsObject(), properties = JsonNode.Parse(item.Schema!)!["properties"]!.AsObject();
            string[] notes = lines[..^properties.Count], names = lines[^properties.Count..];
            int at = -1;
            foreach (string note in notes)
            {
                int next = Enumerable.Range(1, note.Length).Select(length => document.IndexOf(note[..length], StringComparison.Ordinal)).TakeWhile(found => found >= 0).Last();
                Assert.True(next > at, note);
                at = next;
            }
            foreach ((string name, string line) in properties.Select(property => property.Key).Zip(names))
            {
                Assert.StartsWith(name + ": ", line);
                if (answer[name] is not JsonNode value)
                {
                    Assert.EndsWith("not in the text and left out", line);
                    continue;
                }
                Assert.Contains(notes, note => note.EndsWith(line[(name.Length + 1)..], StringComparison.Ordinal));
                Assert.EndsWith(" " + value.ToJsonString(), line.Replace(": ", ":").Replace(", ", ","));
                if (line.Contains(" whole ") || line.Contains(" cents ")) Assert.Equal(line.Contains(" cents "), line.TrimEnd('}', ']')[^3] == '.');
                amounts += line.Contains(" cents ") ? 1 : 0;
            }
        }
        Assert.True(amounts > 20, $"{amounts} amounts with cents");
    }

    [Theory]
    [InlineData(4, '+', 5, "")]
    [InlineData(45, '+', 76, "5 + 6 = 11, 4 + 7 + 1 = 12")]
    [InlineData(4, '+', 112, "4 + 2 = 6, 0 + 1 = 1, 0 + 1 = 1")]
    [InlineData(9, '-', 4, "")]
    [InlineData(523, '-', 181, "3 - 1 = 2, 12 - 8 = 4, 4 - 1 = 3")]
    [InlineData(100, '-', 45, "10 - 5 = 5, 9 - 4 = 5, 0 - 0 = 0")]
    [InlineData(8, '*', 23, "8 * 3 = 24, 8 * 2 + 2 = 18")]
    [InlineData(145, '*', 2, "2 * 5 = 10, 2 * 4 + 1 = 9, 2 * 1 = 2")]
    [InlineData(7, '*', 8, "")]
    [InlineData(56, '/', 7, "")]
    [InlineData(98, '/', 7, "9 / 7 = 1 rest 2, 28 / 7 = 4")]
    [InlineData(216, '/', 2, "2 / 2 = 1, 1 / 2 = 0 rest 1, 16 / 2 = 8")]
    public void Sums_are_worked_out_digit_by_digit(int left, char operation, int right, string work) =>
        Assert.Equal(work, WrittenSum.Work(left, operation, right));

    [Fact]
    public void An_unknown_task_is_refused() =>
        Assert.Throws<FlintException>(() => NanoWorld.Train(1, "poetry", 0));
}

using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Flint.Dialects;
using static Flint.App.Nano.Vocabulary;

namespace Flint.App.Nano;

/// <summary>Requests that need a tool: call it, read what it says, answer; or say that there is none for it.</summary>
internal static partial class Tools
{
    private const int NoToolPercent = 10, RefusePercent = 13, LateRefusePercent = 28, ParallelPercent = 22, ChainPercent = 10, MaxRounds = 3;

    /// <summary>A tool as it is offered in one conversation.</summary>
    internal sealed record Offer(string Kind, string Name, string Json, string[] Parameters);

    /// <summary>A wish that a tool fulfils: how it is said, the values of the call, what the tool says and the answer.</summary>
    /// <param name="Ask">The wish as a sentence.</param>
    /// <param name="Short">The wish as a clause after <c>please</c> or between others.</param>
    /// <param name="What">What is wanted, for the thoughts.</param>
    /// <param name="Values">Values of the parameters, in their order, as JSON texts.</param>
    /// <param name="Result">The tool's result.</param>
    /// <param name="Answer">What is answered from it.</param>
    private sealed record Wish(string Ask, string Short, string What, string[] Values, string Result, string Answer);

    private static readonly string[] Kinds = ["calculator", "clock", "lookup", "weather", "convert", "reminder", "mail", "translate", "music"];

    // How often a kind is wished for: the first three are the ones that matter.
    private static readonly int[] Weights = [22, 18, 22, 10, 10, 8, 4, 3, 3];

    internal static NanoItem Make(ItemBuilder item, bool heldOut)
    {
        NanoRandom random = item.Random;
        var offers = new List<Offer>();
        var taken = new HashSet<string>();
        int count = random.Below(20) switch { < 5 => 1, < 12 => 2, < 18 => 3, _ => 4 };
        while (offers.Count < count)
        {
            string kind = Weighted(random);
            if (taken.Add(kind)) offers.Add(MakeOffer(random, kind));
        }
        foreach (Offer offer in offers) item.Key(offer.Name).Tool(offer.Json);
        if (random.Chance(25)) Chat.ToolSystem(item);
        int rounds = random.Below(10) switch { < 5 => 1, < 8 => 2, _ => MaxRounds };
        for (int round = 0, calls = 0; round < rounds; round++) Round(item, offers, taken, item.Stage > 3 && !heldOut ? LateRefusePercent : RefusePercent, ref calls);
        item.Forget();
        return item.Build();
    }

    private static void Round(ItemBuilder item, List<Offer> offers, HashSet<string> taken, int refusePercent, ref int calls)
    {
        NanoRandom random = item.Random;
        int at = random.Below(100);
        if (at < NoToolPercent)
            Chat.SmallTalk(item);
        else if (at < NoToolPercent + refusePercent && Missing(random, taken) is string missing)
            Refuse(item, missing, offers);
        else if (at < NoToolPercent + refusePercent + ChainPercent && taken.Contains("lookup") && taken.Contains("calculator"))
            Chain(item, offers.Find(o => o.Kind == "lookup")!, offers.Find(o => o.Kind == "calculator")!, ref calls);
        else
        {
            int count = at >= 100 - ParallelPercent ? random.Range(2, 3) : 1;
            var wishes = new (Offer Offer, Wish Wish)[count];
            var said = new HashSet<string>();
            for (int i = 0; i < count;)
            {
                Offer offer = random.Pick(offers.ToArray());
                Wish wish = MakeWish(random, offer.Kind);
                if (said.Add(wish.Short)) wishes[i++] = (offer, wish);
            }
            Fulfil(item, wishes, offers, ref calls);
        }
    }

    private static string Weighted(NanoRandom random)
    {
        int at = random.Below(Weights.Sum());
        int kind = 0;
        while (at >= Weights[kind]) at -= Weights[kind++];
        return Kinds[kind];
    }

    // Sums are what nano can do itself, so a calculator is never missed.
    private static string? Missing(NanoRandom random, HashSet<string> taken)
    {
        string kind = random.Pick(Kinds);
        return kind == "calculator" || taken.Contains(kind) ? null : kind;
    }

    /// <summary>Asks for what no tool does.</summary>
    internal static void Refuse(ItemBuilder item, string? kind = null, IReadOnlyList<Offer>? offers = null)
    {
        kind ??= item.Random.Pick(Kinds[1..]);
        Wish wish = MakeWish(item.Random, kind);
        item.Key("no", wish.Short).User(wish.Ask);
        item.Assistant(item.By("No tool.", $"{Big(wish.What)}: no tool for {Does[kind]}.",
                item.Stage > 3 && offers is not null
                    ? $"The user wants {wish.What}. {Compared(kind, offers)} So I have no tool for it."
                    : $"The user wants {wish.What}. This needs a tool for {Does[kind]}, and I have none."),
            $"I am sorry, I cannot do that. I have no tool for {Does[kind]}.");
    }

    private static ToolCall Call(Offer offer, Wish wish, ref int calls)
    {
        var arguments = new StringBuilder("{");
        for (int i = 0; i < offer.Parameters.Length; i++)
            arguments.Append(i == 0 ? "" : ", ").Append($"\"{offer.Parameters[i]}\": {wish.Values[i]}");
        return new ToolCall($"call_{calls++}", offer.Name, arguments.Append('}').ToString());
    }

    private static void Fulfil(ItemBuilder item, (Offer Offer, Wish Wish)[] wishes, IReadOnlyList<Offer> offers, ref int calls)
    {
        item.User(wishes.Length == 1 ? wishes[0].Wish.Ask : Together(item.Random, [.. wishes.Select(w => w.Wish.Short)]));
        var made = new ToolCall[wishes.Length];
        for (int i = 0; i < wishes.Length; i++)
        {
            item.Key(wishes[i].Wish.Short);
            made[i] = Call(wishes[i].Offer, wishes[i].Wish, ref calls);
        }
        item.Calls(string.Join(item.By(", ", " ", " "), wishes.Select((w, i) => Plan(item, w.Offer, w.Wish, i == 0, offers))), made);
        for (int i = 0; i < wishes.Length; i++) item.Result(made[i], wishes[i].Wish.Result);
        Conclude(item, [.. wishes.Select(w => w.Wish)]);
    }

    private static string Plan(ItemBuilder item, Offer offer, Wish wish, bool first, IReadOnlyList<Offer> offers) => item.By(offer.Name, $"{Big(wish.What)}: {offer.Name}.",
        $"The user {(first ? "" : "also ")}wants {wish.What}. {(item.Stage > 3 ? Compared(offer.Kind, offers) : $"The tool for {Does[offer.Kind]} is {offer.Name}.")}");

    // What each tool is for, one after the other, until one is for what is wanted.
    private static string Compared(string kind, IReadOnlyList<Offer> offers)
    {
        var text = new StringBuilder($"This is {Does[kind]}.");
        foreach (Offer offer in offers)
        {
            text.Append($" {offer.Name}, {Does[offer.Kind]}: {(offer.Kind == kind ? "yes" : "no")}.");
            if (offer.Kind == kind) break;
        }
        return text.ToString();
    }

    private static void Conclude(ItemBuilder item, Wish[] wishes)
    {
        string results = string.Join(" and ", wishes.Select(w => w.Result));
        item.Assistant(item.By("Done.", $"Result: {results}", $"The {(wishes.Length == 1 ? "tool says" : "tools say")} {results}. With this I can answer."),
            string.Join(' ', wishes.Select(w => w.Answer)));
    }

    private static string Together(NanoRandom random, string[] parts)
    {
        string list = And(parts);
        return random.Below(4) switch { 0 => $"Please {list}.", 1 => $"Can you {list}?", 2 => $"{Big(list)}.", _ => $"I need two or three things: {list}." };
    }

    // A price is looked up first, then multiplied.
    private static void Chain(ItemBuilder item, Offer lookup, Offer calculator, ref int calls)
    {
        NanoRandom random = item.Random;
        string thing = random.Pick(Things);
        int count = random.Range(2, 12), price = random.Range(3, 90);
        item.Key("chain", $"{count} {thing} {price}");
        item.User(random.Below(3) switch
        {
            0 => $"Look up the price of the {thing} and tell me what {count} of them cost.",
            1 => $"What do {count} of the {thing} cost? The price is in the table.",
            _ => $"I want to buy the {thing} {count} times. Look up its price and calculate the sum.",
        });
        var find = new Wish("", "", "", ["\"prices\"", $"\"{thing}\""], $"{{\"value\": {price}}}", "");
        ToolCall first = Call(lookup, find, ref calls);
        item.Calls(item.By(lookup.Name, $"First the price: {lookup.Name}.", $"The user wants {count} times the price of the {thing}. First I look the price up with {lookup.Name}."), first);
        item.Result(first, find.Result);
        var multiply = new Wish("", "", "", [$"\"{count} * {price}\""], $"{{\"result\": {count * price}}}", "");
        ToolCall second = Call(calculator, multiply, ref calls);
        item.Calls(item.By(calculator.Name, $"Price {price}, count {count}: {calculator.Name}.", $"The price is {price}. Now I multiply {count} by {price} with {calculator.Name}."), second);
        item.Result(second, multiply.Result);
        Conclude(item, [multiply with { Answer = $"The price of the {thing} is {price}, so {count} of them cost {count * price}." }]);
    }

    /// <summary>Whether the calls of a turn are those of the right answer: names and arguments equal, in order.</summary>
    internal static bool IsRight(IReadOnlyList<ToolCall> expected, IReadOnlyList<ToolCall> calls) =>
        expected.Count == calls.Count && expected.Zip(calls).All(p => p.First.Name == p.Second.Name && SameArguments(p.First.Arguments, p.Second.Arguments));

    // A model may write anything, a name twice too.
    private static bool SameArguments(string expected, string got)
    {
        try
        {
            var strict = new JsonDocumentOptions { AllowDuplicateProperties = false };
            return JsonNode.DeepEquals(JsonNode.Parse(expected), JsonNode.Parse(got, documentOptions: strict));
        }
        catch (JsonException)
        {
            return false;
        }
    }
}

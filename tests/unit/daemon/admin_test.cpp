#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

#include "controlplane/daemon/admin_protocol.hpp"
#include "controlplane/daemon/admin_server.hpp"
#include "controlplane/daemon/reasons.hpp"

namespace cohort::daemon {
namespace {

TEST(LineReader, CutsLinesWhereverTheBytesAreCut) {
  const std::string stream = "one\n\ntwo\nthree\nrest";
  for (std::size_t step = 1; step <= stream.size(); ++step) {
    LineReader reader(100);
    std::vector<std::string> lines;
    for (std::size_t at = 0; at < stream.size(); at += step) {
      reader.append(std::string_view(stream).substr(at, step));
      while (auto line = reader.next()) lines.push_back(*line);
    }
    EXPECT_THAT(lines, testing::ElementsAre("one", "", "two", "three")) << step;
    EXPECT_FALSE(reader.failed());
  }
}

TEST(LineReader, ALineWithoutEndIsNotKept) {
  LineReader reader(10);
  reader.append("0123456789");
  EXPECT_FALSE(reader.failed());
  reader.append("x");
  EXPECT_TRUE(reader.failed());
  reader.append("\n");
  EXPECT_EQ(reader.next(), std::nullopt);
}

TEST(LineReader, ALongLineAmongOthersFails) {
  LineReader reader(4);
  reader.append("ok\nlonger\nok\n");
  EXPECT_EQ(reader.next(), "ok");
  EXPECT_EQ(reader.next(), std::nullopt);
  EXPECT_TRUE(reader.failed());
}

TEST(AdminRequest, Forms) {
  const auto good = parse_request(R"({"command": "show version", "arguments": {"a": 1}})");
  ASSERT_TRUE(good);
  EXPECT_EQ(good->command, "show version");
  EXPECT_EQ(good->arguments, Json({{"a", 1}}));
  EXPECT_EQ(parse_request(R"({"command": "x"})")->arguments, Json::object());
  for (const std::string bad :
       {"", "x", "[]", "{}", "null", R"({"command": 1})", R"({"command": ""})",
        R"({"command": "x", "arguments": []})", R"({"command": "x", "more": 1})",
        R"({"command": "x"} {})", R"({"command": "x"}})"}) {
    const auto out = parse_request(bad);
    ASSERT_FALSE(out) << bad;
    EXPECT_TRUE(out.error().is(bad_admin_request)) << bad;
  }
  EXPECT_FALSE(parse_request(R"({"command": "x", "arguments": {"a": )" + std::string(1000, '[') +
                             std::string(1000, ']') + "}}"));
  EXPECT_FALSE(parse_request(std::string(request_size_max + 1, ' ')));
}

TEST(AdminAnswer, IsALine) {
  EXPECT_EQ(answer_line(Json({{"a", "b\nc"}})), "{\"data\":{\"a\":\"b\\nc\"},\"ok\":true}\n");
  EXPECT_EQ(answer_line(fail(no_group, "G")),
            "{\"error\":{\"detail\":\"G\",\"reason\":\"no_group\",\"sentence\":\"there is no group "
            "of this name\"},\"ok\":false}\n");
  // Octets that are no text can't break the line or the answer.
  EXPECT_EQ(answer_line(Json("\xff\xfe")).find('\n'), answer_line(Json("\xff\xfe")).size() - 1);
}

TEST(Arguments, ByNameAndKind) {
  const Json json{{"t", "text"}, {"n", 5u}, {"b", true}, {"negative", -1}};
  const Arguments arguments(json);
  EXPECT_EQ(arguments.text("t").value(), "text");
  EXPECT_EQ(arguments.number("n").value(), 5u);
  EXPECT_TRUE(arguments.flag("b", false).value());
  EXPECT_FALSE(arguments.text("n"));
  EXPECT_FALSE(arguments.text("missing"));
  EXPECT_FALSE(arguments.number("negative"));
  EXPECT_FALSE(arguments.flag("t", false));
  EXPECT_EQ(arguments.text_or("missing", "x").value(), "x");
  EXPECT_FALSE(arguments.only({"t", "n", "b"}));
  EXPECT_TRUE(arguments.only({"t", "n", "b", "negative"}));
}

/// A server on a thread of its own, and blocking clients.
class AdminSocket : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "cohort-admin-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    path_ = directory_ + "/s.sock";
    auto server = AdminServer::open(
        loop_, path_, [this](const AdminRequest& request, AdminServer::Answer answer) {
          ++handled_;
          if (request.command == "large") {
            answer(Json(std::string(1'000'000, 'x')));
          } else if (request.command == "later") {
            loop_.post([answer] { answer(Json("later")); });
          } else if (request.command != "never") {
            answer(Json(request.command));
          }
        });
    ASSERT_TRUE(server) << server.error().text();
    server_ = std::move(*server);
    thread_ = std::thread([this] { loop_.run(); });
  }
  void TearDown() override {
    loop_.post([this] { loop_.stop(); });
    thread_.join();
    server_.reset();
    std::filesystem::remove_all(directory_);
  }
  [[nodiscard]] int connect() const {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  /// Sends, then reads until `lines` lines or the end have come.
  static std::string talk(int fd, const std::string& request, int lines) {
    if (!request.empty()) {
      EXPECT_EQ(::send(fd, request.data(), request.size(), MSG_NOSIGNAL),
                static_cast<ssize_t>(request.size()));
    }
    std::string out;
    char block[4096];
    while (std::count(out.begin(), out.end(), '\n') < lines) {
      const ssize_t got = ::recv(fd, block, sizeof block, 0);
      if (got <= 0) break;
      out.append(block, static_cast<std::size_t>(got));
    }
    return out;
  }

  EventLoop loop_;
  std::atomic<int> handled_{0};
  std::string directory_, path_;
  std::unique_ptr<AdminServer> server_;
  std::thread thread_;
};

TEST_F(AdminSocket, AnswersInOrderAlsoWhatComesAtOnce) {
  const int fd = connect();
  EXPECT_EQ(
      talk(fd, "{\"command\":\"later\"}\n{\"command\":\"b\"}\nnonsense\n{\"command\":\"c\"}\n", 4),
      "{\"data\":\"later\",\"ok\":true}\n{\"data\":\"b\",\"ok\":true}\n"
      "{\"error\":{\"detail\":\"not JSON\",\"reason\":\"bad_admin_request\",\"sentence\":\"the "
      "request is not a JSON object with a command\"},\"ok\":false}\n"
      "{\"data\":\"c\",\"ok\":true}\n");
  ::close(fd);
}

TEST_F(AdminSocket, IsForItsOwnerOnly) {
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777u, 0600u);
}

TEST_F(AdminSocket, CutsOffWhoNeverEndsALine) {
  const int fd = connect();
  const std::string flood(request_size_max + 2, 'x');
  std::size_t sent = 0;
  while (sent < flood.size()) {
    const ssize_t done = ::send(fd, flood.data() + sent, flood.size() - sent, MSG_NOSIGNAL);
    if (done <= 0) break;
    sent += static_cast<std::size_t>(done);
  }
  EXPECT_EQ(talk(fd, "", 1), "");
  ::close(fd);
  const int other = connect();
  EXPECT_EQ(talk(other, "{\"command\":\"a\"}\n", 1), "{\"data\":\"a\",\"ok\":true}\n");
  ::close(other);
}

TEST_F(AdminSocket, BoundsItsConnections) {
  std::vector<int> waiting;
  for (std::size_t i = 0; i < AdminServer::connections_max; ++i) {
    waiting.push_back(connect());
    EXPECT_EQ(talk(waiting.back(), "{\"command\":\"a\"}\n", 1), "{\"data\":\"a\",\"ok\":true}\n");
  }
  const int one_more = connect();
  EXPECT_EQ(talk(one_more, "", 1), "");  // closed at once
  ::close(one_more);
  for (const int fd : waiting) ::close(fd);
}

// Who asks and asks and reads nothing costs one answer, not as many as he asks for.
TEST_F(AdminSocket, TheNextRequestWaitsUntilTheAnswerIsRead) {
  const int greedy = connect();
  std::string requests;
  for (int i = 0; i < 20; ++i) requests += "{\"command\":\"large\"}\n";
  ASSERT_EQ(::send(greedy, requests.data(), requests.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(requests.size()));
  // Others are served meanwhile, each answer a turn of the loop after the other.
  const int other = connect();
  for (int i = 0; i < 50; ++i)
    EXPECT_EQ(talk(other, "{\"command\":\"a\"}\n", 1), "{\"data\":\"a\",\"ok\":true}\n");
  EXPECT_EQ(handled_, 51);
  std::ptrdiff_t lines = 0;
  std::vector<char> block(1 << 16);
  while (lines < 20) {
    const ssize_t got = ::recv(greedy, block.data(), block.size(), 0);
    if (got <= 0) break;
    lines += std::count(block.begin(), block.begin() + got, '\n');
  }
  EXPECT_EQ(lines, 20);
  EXPECT_EQ(handled_, 70);
  ::close(greedy);
  ::close(other);
}

TEST(Wipe, LeavesNoText) {
  Json json{{"a", "secret"}, {"b", {{"c", "secret"}, {"d", {1, "secret"}}}}, {"e", 7}};
  wipe(json);
  EXPECT_EQ(json.dump().find("secret"), std::string::npos);
  EXPECT_EQ(json.at("e"), 7);
}

TEST_F(AdminSocket, ALiveSocketIsNotTakenOver) {
  EventLoop other;
  const auto second =
      AdminServer::open(other, path_, [](const AdminRequest&, AdminServer::Answer) {});
  ASSERT_FALSE(second);
  EXPECT_TRUE(second.error().is(socket_failed));
}

TEST_F(AdminSocket, AFileThatIsNoSocketStays) {
  const std::string file = directory_ + "/precious";
  std::ofstream(file) << "data";
  EventLoop other;
  const auto opened =
      AdminServer::open(other, file, [](const AdminRequest&, AdminServer::Answer) {});
  ASSERT_FALSE(opened);
  EXPECT_TRUE(opened.error().is(socket_failed));
  EXPECT_EQ(std::filesystem::file_size(file), 4u);
}

TEST_F(AdminSocket, AnAnswerToNobodyGoesNowhere) {
  const int fd = connect();
  EXPECT_EQ(::send(fd, "{\"command\":\"never\"}\n", 20, MSG_NOSIGNAL), 20);
  ::close(fd);
  const int other = connect();
  EXPECT_EQ(talk(other, "{\"command\":\"later\"}\n", 1), "{\"data\":\"later\",\"ok\":true}\n");
  ::close(other);
}

}  // namespace
}  // namespace cohort::daemon
